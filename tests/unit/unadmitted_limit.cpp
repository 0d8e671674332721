// SPDX-License-Identifier: MIT
// Who loses its place to whom.
#include <algorithm>
#include <iterator>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/acceptor/unadmitted_limit.hpp>

using instancer::ClientInfo;
using instancer::Source;
using instancer::UnadmittedLimit;

namespace {

ClientInfo client(const char* address)
{
    const asio::ip::tcp::endpoint peer(asio::ip::make_address(address), 1000);
    return ClientInfo(peer, peer);
}

Source source(const char* address) { return Source(client(address), 64); }

/// Connections by name, and which of them lost their places, in that order.
class Room {
public:
    explicit Room(std::size_t most, std::size_t of_one = 0) : limit(most, of_one) {}

    void enter(const std::string& name, const Source& from)
    {
        places[name] = limit.enter(from, [this, name] { displaced.push_back(name); });
    }
    void enter(const std::string& name, const char* address) { enter(name, source(address)); }

    std::vector<std::string> displaced;
    UnadmittedLimit limit;
    std::map<std::string, UnadmittedLimit::Place> places;
};

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("unadmitted limit: the oldest connection of the source that has most makes room")
{
    Room room(4);
    room.enter("one", "192.0.2.1");
    room.enter("many 1", "192.0.2.2");
    room.enter("many 2", "192.0.2.2");
    room.enter("many 3", "192.0.2.2");
    CHECK(room.displaced.empty());
    room.enter("new", "192.0.2.3");
    CHECK(room.displaced == Names{"many 1"});
    room.enter("new 2", "192.0.2.4");
    CHECK(room.displaced == Names{"many 1", "many 2"});
    CHECK(room.limit.count() == 4);
}

TEST_CASE("unadmitted limit: a newcomer counts for its own source, so that a crowd displaces itself")
{
    Room room(3);
    for (const auto* name : {"a", "b", "c"})
        room.enter(name, ("192.0.2." + std::to_string(room.places.size())).c_str());
    room.enter("c again", "192.0.2.2");
    CHECK(room.displaced == Names{"c"});
}

TEST_CASE("unadmitted limit: of sources that have the same number the oldest connection goes, never the newcomer")
{
    Room room(1);
    for (const auto* name : {"a", "b", "c", "d"})
        room.enter(name, ("192.0.2." + std::to_string(room.places.size())).c_str());
    CHECK(room.displaced == Names{"a", "b", "c"});
}

TEST_CASE("unadmitted limit: a place that was given back is nobody's, one that was lost says so")
{
    Room room(2);
    room.enter("admitted", "192.0.2.1");
    room.enter("lost", "192.0.2.2");
    CHECK(room.places["admitted"].give_back());
    CHECK(room.places["admitted"].give_back());
    room.enter("a", "192.0.2.3");
    CHECK(room.displaced.empty());
    room.enter("b", "192.0.2.4");
    CHECK(room.displaced == Names{"lost"});
    CHECK_FALSE(room.places["lost"].give_back());
    room.places.clear();
    CHECK(room.limit.count() == 0);
}

TEST_CASE("unadmitted limit: a connection whose source becomes known keeps its age")
{
    Room room(3);
    room.enter("old", "10.0.0.1");
    room.enter("proxied 1", "10.0.0.1");
    room.enter("proxied 2", "10.0.0.1");
    room.places["proxied 1"].change_source(source("192.0.2.1"));
    room.places["old"].change_source(source("192.0.2.2"));
    room.places["proxied 2"].change_source(source("192.0.2.2"));
    room.enter("new", "192.0.2.3");
    CHECK(room.displaced == Names{"old"});
    room.places["old"].change_source(source("192.0.2.3"));
    room.enter("newer", "192.0.2.4");
    CHECK(room.displaced == Names{"old", "proxied 1"});
}

TEST_CASE("unadmitted limit: sources are addresses, IPv6 networks, users, and all of whom nothing is known")
{
    CHECK(source("192.0.2.1") != source("192.0.2.2"));
    CHECK(source("2001:db8::1") == source("2001:db8::2"));
    CHECK(source("2001:db8::1") != source("2001:db8:0:1::1"));
    CHECK(Source(client("2001:db8::1"), 128) != Source(client("2001:db8::2"), 128));
    CHECK(Source(ClientInfo(1000, "/a"), 64) == Source(ClientInfo(1000, "/b"), 64));
    CHECK(Source(ClientInfo(1000, "/a"), 64) != Source(ClientInfo(1001, "/a"), 64));
    CHECK(Source(ClientInfo(), 64) == Source(ClientInfo("/a"), 64));
    CHECK(source("2001:db8::1").to_string() == "2001:db8::/64");
    CHECK(Source(ClientInfo(), 64).to_string() == "unknown clients");
}

TEST_CASE("unadmitted limit: IPv4 clients of one network can be one source")
{
    CHECK(Source(client("192.0.2.1"), 64, 24) == Source(client("192.0.2.2"), 64, 24));
    CHECK(Source(client("192.0.2.1"), 64, 24).to_string() == "192.0.2.0/24");
    CHECK(Source(client("192.0.2.1"), 64, 24) != Source(client("192.0.3.1"), 64, 24));
    CHECK(Source(client("2001:db8::1"), 64, 24) == source("2001:db8::2"));
}

TEST_CASE("unadmitted limit: a source that has as many as it may makes room for its next one itself")
{
    Room room(0, 2);
    room.enter("one 1", "192.0.2.1");
    room.enter("many 1", "192.0.2.2");
    room.enter("many 2", "192.0.2.2");
    CHECK(room.displaced.empty());
    room.enter("many 3", "192.0.2.2");
    CHECK(room.displaced == Names{"many 1"});
    room.places["one 1"].change_source(source("192.0.2.2"));
    CHECK(room.displaced == Names{"many 1", "one 1"});
    room.enter("other", "192.0.2.3");
    CHECK(room.limit.count() == 3);
}

TEST_CASE("unadmitted limit: none")
{
    Room room(0);
    for (int i = 0; i < 1000; ++i)
        room.enter(std::to_string(i), "192.0.2.1");
    CHECK(room.displaced.empty());
    CHECK(room.places["7"].give_back());
}

TEST_CASE("unadmitted limit: whatever comes and goes, it decides as one who looks at everything")
{
    constexpr std::size_t limit = 20;
    std::mt19937 random(1);
    Room room(limit);
    std::vector<std::pair<std::string, int>> expected;  // Oldest first, with their sources.
    const auto count = [&](int of) {
        return std::count_if(expected.begin(), expected.end(), [of](const auto& one) { return one.second == of; });
    };
    const auto address = [](int number) { return "192.0.2." + std::to_string(number); };
    for (int i = 0; i < 20'000; ++i) {
        const auto from = static_cast<int>(random() % 6);
        const auto before = room.displaced.size();
        if (const auto what = random() % 4; what > 1 || expected.empty()) {
            const auto name = std::to_string(i);
            expected.emplace_back(name, from);
            room.enter(name, address(from).c_str());
        } else {
            const auto one = expected.begin() + static_cast<std::ptrdiff_t>(random() % expected.size());
            if (what == 0) {
                one->second = from;
                room.places[one->first].change_source(source(address(from).c_str()));
            } else {
                CHECK(room.places[one->first].give_back());
                expected.erase(one);
            }
        }
        if (expected.size() > limit) {
            const auto goes = std::max_element(expected.begin(), expected.end(), [&](const auto& a, const auto& b) {
                return count(a.second) < count(b.second);
            });
            REQUIRE(room.displaced.size() == before + 1);
            REQUIRE(room.displaced.back() == goes->first);
            expected.erase(goes);
        }
        REQUIRE(room.limit.count() == expected.size());
    }
}

TEST_CASE("unadmitted limit: a lower limit displaces those that are too many, and none displaces nobody")
{
    Room room(0);
    room.enter("uncounted", "192.0.2.1");
    room.limit.set_limit(3);
    room.enter("one", "192.0.2.1");
    room.enter("two", "192.0.2.1");
    room.enter("three", "192.0.2.2");
    room.limit.set_limit(2);
    CHECK(room.displaced == Names{"one"});
    room.limit.set_limit(0);
    CHECK(room.displaced == Names{"one"});
    CHECK(room.limit.count() == 2);
}
