// SPDX-License-Identifier: MIT
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <asio/ip/address.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/ban_list.hpp>

namespace {

using namespace instancer;
using namespace std::chrono_literals;

/// A list, and clocks that move when they are told to.
class Bans {
public:
    explicit Bans(const BanOptions& options) : list(options) {}

    static BanOptions three_a_minute()
    {
        BanOptions options;
        options.after = Rate(3, 1min);
        return options;
    }

    std::optional<Ban> fail(const std::string& address)
    {
        return list.note_failure(asio::ip::make_address(address), "wrong proofs", now, time);
    }

    /// Fails until a ban begins; how long that takes.
    std::optional<std::chrono::seconds> ban(const std::string& address)
    {
        for (int i = 0; i < 10; ++i)
            if (const auto ban = fail(address))
                return std::chrono::duration_cast<std::chrono::seconds>(ban->until - time);
        return std::nullopt;
    }

    bool banned(const std::string& address) const
    {
        return list.find(asio::ip::make_address(address), time).has_value();
    }

    void pass(std::chrono::seconds span)
    {
        now += span;
        time += span;
    }

    BanList list;
    BanList::Clock::time_point now{100h};
    Ban::Time time{400'000h};
};

}  // namespace

TEST_CASE("ban list: a source that fails too often is banned for a while, and no other")
{
    Bans bans(Bans::three_a_minute());
    for (int i = 0; i < 3; ++i)
        CHECK_FALSE(bans.fail("192.0.2.1"));
    CHECK_FALSE(bans.banned("192.0.2.1"));
    const auto ban = bans.fail("192.0.2.1");
    REQUIRE(ban);
    CHECK(ban->network.to_string() == "192.0.2.1");
    CHECK(ban->reason == "wrong proofs");
    CHECK(bans.banned("192.0.2.1"));
    CHECK(bans.banned("::ffff:192.0.2.1"));
    CHECK_FALSE(bans.banned("192.0.2.2"));
    bans.pass(10min - 1s);
    CHECK(bans.banned("192.0.2.1"));
    bans.pass(1s);
    CHECK_FALSE(bans.banned("192.0.2.1"));
}

TEST_CASE("ban list: rare failures ban nobody")
{
    Bans bans(Bans::three_a_minute());
    for (int i = 0; i < 1000; ++i) {
        REQUIRE_FALSE(bans.fail("192.0.2.1"));
        bans.pass(20s);
    }
}

TEST_CASE("ban list: each further ban takes twice as long, up to a day, until a day has gone well")
{
    Bans bans(Bans::three_a_minute());
    auto expected = std::chrono::seconds(10min);
    for (int i = 0; i < 10; ++i) {
        REQUIRE(bans.ban("2001:db8::1") == std::min<std::chrono::seconds>(expected, 24h));
        expected *= 2;
        bans.pass(24h);
    }
    bans.pass(48h);
    CHECK(bans.ban("2001:db8::1") == std::chrono::seconds(10min));
}

TEST_CASE("ban list: what it remembers makes the next ban as long in another list, for a day")
{
    Bans before(Bans::three_a_minute());
    REQUIRE(before.ban("192.0.2.1") == 10min);
    before.pass(1h);
    REQUIRE(before.ban("192.0.2.1") == 20min);
    before.pass(1h);
    CHECK(before.list.list(before.time).empty());
    const auto remembered = before.list.remembered(before.time);
    REQUIRE(remembered.size() == 1);
    CHECK(remembered.front().times == 2);

    Bans after(Bans::three_a_minute());
    after.pass(2h);
    after.list.add(remembered.front());
    CHECK_FALSE(after.banned("192.0.2.1"));
    CHECK(after.ban("192.0.2.1") == 40min);

    before.pass(24h);
    CHECK(before.list.remembered(before.time).empty());
}

TEST_CASE("ban list: an operator may say how often somebody was banned; otherwise that stays as it was")
{
    Bans bans(Bans::three_a_minute());
    const Network network(asio::ip::make_address("192.0.2.1"));
    REQUIRE(bans.ban("192.0.2.1") == 10min);
    bans.pass(1h);
    REQUIRE(bans.ban("192.0.2.1") == 20min);
    bans.list.add(Ban(network, bans.time, "over"));
    bans.pass(1min);
    CHECK(bans.ban("192.0.2.1") == 40min);
    bans.list.add(Ban(network, bans.time, "over, and forgiven", 1));
    bans.pass(1min);
    CHECK(bans.ban("192.0.2.1") == 20min);
}

TEST_CASE("ban list: IPv6 clients of one network are one source")
{
    Bans bans(Bans::three_a_minute());
    CHECK_FALSE(bans.fail("2001:db8::1"));
    CHECK_FALSE(bans.fail("2001:db8::2"));
    CHECK_FALSE(bans.fail("2001:db8::3"));
    CHECK(bans.fail("2001:db8::4")->network.to_string() == "2001:db8::/64");
    CHECK(bans.banned("2001:db8:0:0:ffff::"));
    CHECK_FALSE(bans.banned("2001:db8:0:1::"));
}

TEST_CASE("ban list: an operator adds, replaces and ends bans of any size")
{
    Bans bans{BanOptions()};
    const Network wide(asio::ip::make_address("10.0.0.0"), 8), narrow(asio::ip::make_address("10.1.0.0"), 16);
    bans.list.add(Ban(wide, bans.time + 1h, "a botnet"));
    bans.list.add(Ban(narrow, bans.time + 2h, "a worse one"));
    CHECK(bans.list.find(asio::ip::make_address("10.1.2.3"), bans.time)->reason == "a worse one");
    CHECK(bans.list.find(asio::ip::make_address("10.2.2.3"), bans.time)->reason == "a botnet");
    REQUIRE(bans.list.list(bans.time).size() == 2);
    CHECK(bans.list.list(bans.time).front().network == wide);
    bans.list.add(Ban(wide, bans.time + 3h, "still there"));
    CHECK(bans.list.list(bans.time).front().network == narrow);
    CHECK(bans.list.remove(narrow));
    CHECK_FALSE(bans.list.remove(narrow));
    CHECK(bans.list.find(asio::ip::make_address("10.1.2.3"), bans.time)->reason == "still there");
    bans.pass(3h);
    CHECK(bans.list.list(bans.time).empty());
    CHECK_FALSE(bans.banned("10.1.2.3"));
}

TEST_CASE("ban list: a banned client that goes on failing begins no new ban")
{
    Bans bans(Bans::three_a_minute());
    REQUIRE(bans.ban("192.0.2.1"));
    CHECK_FALSE(bans.ban("192.0.2.1"));
    CHECK(bans.list.list(bans.time).size() == 1);
}

TEST_CASE("ban list: beyond its size the ban that would end first goes")
{
    auto options = Bans::three_a_minute();
    options.max_bans = 100;
    Bans bans(options);
    for (int i = 0; i < 1000; ++i) {
        bans.ban("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256));
        bans.pass(1s);
    }
    CHECK(bans.list.list(bans.time).size() == 100);
    CHECK(bans.banned("10.0.3.231"));
    CHECK_FALSE(bans.banned("10.0.3.131"));
}
