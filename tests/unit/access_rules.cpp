// SPDX-License-Identifier: MIT
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/acceptor/access_rules.hpp>

using namespace instancer;
using namespace std::chrono_literals;

namespace {

using Time = AccessRules::Time;

Network network(const std::string& text)
{
    const auto slash = text.find('/');
    const auto address = asio::ip::make_address(text.substr(0, slash));
    if (slash == text.npos)
        return Network(address);
    return Network(address, static_cast<unsigned>(std::stoul(text.substr(slash + 1))));
}

ClientInfo client(const std::string& address)
{
    const asio::ip::tcp::endpoint endpoint(asio::ip::make_address(address), 1);
    return ClientInfo(endpoint, endpoint);
}

const ClientInfo unix_client(1000, "/run/s");

bool allows(const AccessRules& rules, const std::string& address, Time now = Time())
{
    return rules.check(client(address), now).has_value();
}

}  // namespace

TEST_CASE("network: bits beyond the prefix do not count, and IPv4 in IPv6 is IPv4")
{
    CHECK(network("10.1.2.3/8") == network("10.0.0.0/8"));
    CHECK(network("10.0.0.0/8") != network("10.0.0.0/9"));
    CHECK(network("0.0.0.0/0") != network("::/0"));
    CHECK(network("2001:db8:ffff::/33").to_string() == "2001:db8:8000::/33");
    CHECK(network("2001:db8::1:2:3:4/66").to_string() == "2001:db8::/66");
    CHECK(network("2001:db8::1").to_string() == "2001:db8::1");
    CHECK(network("192.0.2.7").to_string() == "192.0.2.7");
    CHECK(network("255.255.255.255/0").to_string() == "0.0.0.0/0");
    CHECK(network("::ffff:10.1.2.3") == network("10.1.2.3"));
    CHECK(network("::ffff:10.1.2.3/104") == network("10.0.0.0/8"));
    CHECK(network("::ffff:10.1.2.3/95").to_string() == "::fffe:0:0/95");
    CHECK(network("2001:db8::1:2:3:4").widened(64).to_string() == "2001:db8::/64");
    CHECK(network("2001:db8::/32").widened(64) == network("2001:db8::/32"));
}

TEST_CASE("access rules: without a rule everybody is let in; with one that allows, nobody else")
{
    AccessRules rules;
    CHECK(allows(rules, "192.0.2.1"));
    CHECK(rules.check(unix_client, Time()));
    rules.add(false, network("10.0.0.0/8"));
    CHECK_FALSE(allows(rules, "10.255.255.255"));
    CHECK(allows(rules, "11.0.0.0"));
    CHECK(allows(rules, "9.255.255.255"));
    rules.add(true, network("192.0.2.0/24"));
    CHECK(allows(rules, "192.0.2.1"));
    CHECK_FALSE(allows(rules, "11.0.0.0"));
    CHECK_FALSE(allows(rules, "2001:db8::1"));
    CHECK_FALSE(rules.check(unix_client, Time()));
    CHECK(rules.size() == 2);
}

TEST_CASE("access rules: the smallest network decides, whatever the order, and deny wins a tie")
{
    AccessRules rules;
    rules.add(true, network("10.1.2.3"));
    rules.add(false, network("10.1.2.0/24"));
    rules.add(true, network("10.1.0.0/16"));
    rules.add(false, network("10.0.0.0/8"));
    CHECK(allows(rules, "10.1.2.3"));
    CHECK_FALSE(allows(rules, "10.1.2.4"));
    CHECK(allows(rules, "10.1.3.3"));
    CHECK_FALSE(allows(rules, "10.2.0.1"));
    rules.add(false, network("10.1.0.0/16"));
    CHECK_FALSE(allows(rules, "10.1.3.3"));
    rules.add(true, network("10.1.2.0/24"));
    CHECK_FALSE(allows(rules, "10.1.2.4"));
}

TEST_CASE("access rules: `all` holds for everybody, Unix sockets included, and is as large as a network can be")
{
    AccessRules rules;
    rules.add(true, std::nullopt);
    rules.add(false, network("2001:db8::/32"));
    CHECK(allows(rules, "192.0.2.1"));
    CHECK(allows(rules, "2001:db9::"));
    CHECK_FALSE(allows(rules, "2001:db8::1"));
    CHECK(rules.check(unix_client, Time()));
    CHECK(rules.check(ClientInfo(), Time()));
    rules.add(false, network("0.0.0.0/0"));
    CHECK_FALSE(allows(rules, "192.0.2.1"));
    CHECK(allows(rules, "2001:db9::"));
    CHECK(rules.check(unix_client, Time()));
    rules.add(false, std::nullopt);
    CHECK_FALSE(allows(rules, "2001:db9::"));
    CHECK_FALSE(rules.check(unix_client, Time()));
}

TEST_CASE("access rules: an IPv4 client of an IPv6 socket counts as IPv4")
{
    AccessRules rules;
    rules.add(true, network("192.0.2.0/24"));
    CHECK(allows(rules, "::ffff:192.0.2.1"));
    rules.add(false, network("::/0"));
    CHECK(allows(rules, "::ffff:192.0.2.1"));
}

TEST_CASE("access rules: one that is not in force does not hold; a larger network may then decide")
{
    const auto by_day = [](Time time) { return time < Time(1h); };
    AccessRules rules;
    rules.add(true, network("10.0.0.0/8"), by_day);
    rules.add(false, network("10.1.0.0/16"), by_day);
    CHECK(allows(rules, "10.2.0.1", Time(0h)));
    CHECK_FALSE(allows(rules, "10.1.0.1", Time(0h)));
    // At night no rule holds, but there is one that allows.
    CHECK_FALSE(allows(rules, "10.2.0.1", Time(2h)));
    CHECK_FALSE(allows(rules, "192.0.2.1", Time(2h)));
    rules.add(true, std::nullopt);
    CHECK(allows(rules, "10.1.0.1", Time(2h)));
    CHECK_FALSE(allows(rules, "10.1.0.1", Time(0h)));
}

TEST_CASE("access rules: who is denied hears by which rule, in the log")
{
    AccessRules rules;
    rules.add(false, network("10.0.0.0/8"));
    CHECK(rules.check(client("10.0.0.1"), Time()).error() == Errc::denied);
    CHECK(rules.check(client("10.0.0.1"), Time()).error().message() == "the rule for 10.0.0.0/8 denies it");
    rules.add(true, network("10.1.0.0/16"));
    CHECK(rules.check(unix_client, Time()).error().message() == "no rule allows it");
    rules.add(false, std::nullopt);
    CHECK(rules.check(unix_client, Time()).error().message() == "the rule for all denies it");
}

namespace {

/// The rules as their documentation says them, one after the other.
class Naive {
public:
    void add(bool allow, const std::optional<Network>& where, AccessRules::InForce in_force)
    {
        rules_.push_back({allow, where, std::move(in_force)});
    }

    bool allows(const asio::ip::address& address, Time now) const
    {
        int longest = -1;
        bool allowed = true, any_allows = false;
        const auto is_inside = [&](const Network& network) {
            return address.is_v4() == network.is_v4() &&
                   leading(address, network.bits()) == leading(network.address(), network.bits());
        };
        for (const auto& rule : rules_) {
            any_allows = any_allows || rule.allow;
            if ((rule.where && !is_inside(*rule.where)) || !rule.in_force(now))
                continue;
            const int bits = rule.where ? static_cast<int>(rule.where->bits()) : 0;
            if (bits > longest || (bits == longest && !rule.allow)) {
                longest = bits;
                allowed = rule.allow;
            }
        }
        return longest < 0 ? !any_allows : allowed;
    }

private:
    struct Rule {
        bool allow;
        std::optional<Network> where;
        AccessRules::InForce in_force;
    };

    static std::string leading(const asio::ip::address& address, unsigned count)
    {
        std::string bits;
        const auto write = [&](const auto& bytes) {
            for (const unsigned byte : bytes)
                for (int bit = 7; bit >= 0; --bit)
                    bits += byte >> bit & 1 ? '1' : '0';
        };
        if (address.is_v4())
            write(address.to_v4().to_bytes());
        else
            write(address.to_v6().to_bytes());
        return bits.substr(0, count);
    }

    std::vector<Rule> rules_;
};

}  // namespace

TEST_CASE("access rules: thousands at random decide as one after the other would")
{
    for (unsigned seed = 1; seed <= 60; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        // Few different bits, so that networks lie within each other and addresses within networks.
        const auto any_address = [&]() -> asio::ip::address {
            if (random() % 2 == 0)
                return asio::ip::address_v4(static_cast<std::uint32_t>(0x0a000000 | (random() & 0x01030107)));
            asio::ip::address_v6::bytes_type bytes{0x20, 0x01};
            for (const std::size_t i : {3u, 7u, 8u, 15u})
                bytes[i] = static_cast<unsigned char>(random() & 0x81);
            return asio::ip::address_v6(bytes);
        };
        AccessRules rules;
        Naive naive;
        const auto count = seed == 1 ? 3000 : random() % 40;
        for (unsigned i = 0; i < count; ++i) {
            const bool allow = random() % 2 == 0;
            std::optional<Network> where;
            if (random() % 10 != 0) {
                const auto address = any_address();
                where.emplace(address, static_cast<unsigned>(random() % (address.is_v4() ? 33 : 129)));
            }
            const int hours = static_cast<int>(random() % 4);
            const auto in_force = [hours](Time time) {
                return hours == 0 || time.time_since_epoch() / 1h % 3 != hours - 1;
            };
            rules.add(allow, where, hours == 0 ? AccessRules::InForce() : in_force);
            naive.add(allow, where, in_force);
        }
        for (int i = 0; i < (seed == 1 ? 300 : 1000); ++i) {
            const auto address = any_address();
            const Time now(std::chrono::hours(random() % 6));
            CAPTURE(address.to_string());
            REQUIRE(allows(rules, address.to_string(), now) == naive.allows(address, now));
        }
    }
}
