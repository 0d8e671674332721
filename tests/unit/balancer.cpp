// SPDX-License-Identifier: MIT
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/backend/balancer.hpp>

using namespace instancer;
using namespace std::chrono_literals;

namespace {

using Attempt = Balancer::Attempt;
using Selection = Balancer::Selection;

UpstreamOptions group(Balance balance, const std::vector<unsigned>& weights)
{
    UpstreamOptions options;
    options.balance = balance;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        options.upstreams.push_back(Upstream::tcp("10.0.0." + std::to_string(i + 1), 80));
        options.upstreams.back().weight = weights[i];
    }
    return options;
}

const Balancer::TimePoint start{1h};

/// A balancer, a clock, and the connections that go through it. Upstreams are a, b, c, ...
class World {
public:
    explicit World(const UpstreamOptions& options, std::uint64_t seed = 0) : balancer(options, seed) {}

    /// The upstream of a connection that has one.
    char name(const Attempt& attempt) const
    {
        REQUIRE(attempt.member());
        return static_cast<char>('a' + attempt.member()->upstream.name().back() - '1');
    }

    /// A connection, which stays. What it waits for and then gets is told by `served`.
    Attempt& connect(const std::string& source = "192.0.2.1")
    {
        auto& attempt = attempts.emplace_back(Balancer::hash_of(source));
        last = balancer.take(attempt, now);
        if (last == Selection::wait)
            attempt.on_served([this, &attempt] { served += attempt.member() ? name(attempt) : '-'; });
        return attempt;
    }

    /// Where a connection goes that ends at once; `-` when there is nowhere.
    char visit(const std::string& source = "192.0.2.1")
    {
        Attempt attempt(Balancer::hash_of(source));
        const char found = balancer.take(attempt, now) == Selection::go ? name(attempt) : '-';
        balancer.release(attempt, now);
        return found;
    }

    std::string visits(int count)
    {
        std::string all;
        while (count-- > 0)
            all += visit();
        return all;
    }

    /// In which order a connection tries them when each one fails.
    std::string tries()
    {
        Attempt attempt;
        std::string all;
        while (balancer.take(attempt, now) == Selection::go) {
            all += name(attempt);
            balancer.failed(attempt, now);
        }
        return all;
    }

    /// A connection to the only upstream, or to the first one in turn, that fails.
    bool fail()
    {
        Attempt attempt;
        REQUIRE(balancer.take(attempt, now) == Selection::go);
        return balancer.failed(attempt, now);
    }

    bool succeed()
    {
        Attempt attempt;
        REQUIRE(balancer.take(attempt, now) == Selection::go);
        const bool rested = balancer.succeeded(attempt, now);
        balancer.release(attempt, now);
        return rested;
    }

    std::size_t connections(std::size_t index) const { return balancer.members()[index]->connections(); }

    bool check(std::size_t index, bool works) { return balancer.checked(*balancer.members()[index], works, now); }

    /// The state of each, by its first letter.
    std::string states() const
    {
        std::string all;
        for (const auto& status : balancer.snapshot(now))
            all += to_string(status.state).front();
        return all;
    }

    Balancer balancer;
    Balancer::TimePoint now = start;
    std::list<Attempt> attempts;
    Selection last = Selection::none;
    std::string served;
};

}  // namespace

TEST_CASE("balancer: round robin gives everybody its share, evenly spread")
{
    World world(group(Balance::round_robin, {5, 1, 1}));
    CHECK(world.visits(14) == "aabacaaaabacaa");
}

TEST_CASE("balancer: least connections, by weight")
{
    World world(group(Balance::least_connections, {2, 1}));
    for (int i = 0; i < 30; ++i)
        world.connect();
    CHECK(world.connections(0) == 20);
    CHECK(world.connections(1) == 10);
    int ended = 0;
    for (auto& attempt : world.attempts)
        if (world.name(attempt) == 'a' && ended++ < 15)
            world.balancer.release(attempt, start);
    for (int i = 0; i < 10; ++i)
        CHECK(world.name(world.connect()) == 'a');
}

TEST_CASE("balancer: random of two prefers the one with fewer, and gives shares by weight")
{
    World even(group(Balance::random, {1, 1, 1, 1}), 1);
    for (int i = 0; i < 4000; ++i)
        even.connect();
    for (std::size_t i = 0; i < 4; ++i) {
        CAPTURE(i);
        CHECK(even.connections(i) > 980);
        CHECK(even.connections(i) < 1020);
    }
    World uneven(group(Balance::random, {3, 1}), 1);
    for (int i = 0; i < 4000; ++i)
        uneven.connect();
    CHECK(uneven.connections(0) > 2800);
    CHECK(uneven.connections(0) < 3200);
}

TEST_CASE("balancer: a source keeps its upstream, and few move when the list changes")
{
    const auto homes = [](World& world) {
        std::map<std::string, char> result;
        for (int i = 0; i < 3000; ++i) {
            const auto source = "192.0.2." + std::to_string(i);
            const auto chosen = world.visit(source);
            CHECK(world.visit(source) == chosen);
            result[source] = chosen;
        }
        return result;
    };
    World world(group(Balance::source_hash, {1, 1, 2}));
    const auto before = homes(world);
    world.balancer.replace(group(Balance::source_hash, {1, 1, 2, 1}).upstreams, start);
    const auto after = homes(world);
    std::map<char, int> share;
    int moved = 0;
    for (const auto& [source, home] : after) {
        ++share[home];
        if (home != before.at(source)) {
            ++moved;
            // Nobody moves but to the new one.
            CHECK(home == 'd');
        }
    }
    CHECK(moved == share['d']);
    CHECK(moved > 500);
    CHECK(moved < 700);
    CHECK(share['c'] > 1100);
    CHECK(share['c'] < 1300);

    // While one drains, its clients go elsewhere and the others stay; then they come home.
    world.balancer.replace(group(Balance::source_hash, {0, 1, 2, 1}).upstreams, start);
    for (const auto& [source, home] : homes(world)) {
        CHECK(home != 'a');
        if (after.at(source) != 'a')
            CHECK(home == after.at(source));
    }
    world.balancer.replace(group(Balance::source_hash, {1, 1, 2, 1}).upstreams, start);
    CHECK(homes(world) == after);
}

TEST_CASE("balancer: who fails again and again is tried last, for a while")
{
    for (const auto balance :
         {Balance::round_robin, Balance::least_connections, Balance::source_hash, Balance::random}) {
        CAPTURE(static_cast<int>(balance));
        auto options = group(balance, {1});
        options.max_fails = 2;
        options.fail_timeout = 10s;
        World world(options);
        CHECK_FALSE(world.fail());
        CHECK(world.states() == "u");
        // In a row only.
        CHECK_FALSE(world.succeed());
        CHECK_FALSE(world.fail());
        CHECK(world.fail());
        CHECK(world.states() == "r");
        CHECK_FALSE(world.balancer.available(world.now));
        CHECK(world.balancer.next_change(world.now) == start + 10s);
        CHECK(world.tries() == "a");  // Better than none; it fails once more.

        options.upstreams = group(balance, {1, 1}).upstreams;
        world.balancer.replace(options.upstreams, world.now);
        world.now += 9s;
        CHECK(world.visits(4) == "bbbb");
        world.now += 1s;
        CHECK(world.states() == "uu");
        world.balancer.replace(group(balance, {1}).upstreams, world.now);
        // One more failure is enough then, and it is no news.
        CHECK_FALSE(world.fail());
        CHECK(world.states() == "r");
        CHECK(world.succeed());
        CHECK(world.states() == "u");
    }
    auto options = group(Balance::round_robin, {1, 1});
    options.max_fails = 0;
    World patient(options);
    for (int i = 0; i < 100; ++i)
        CHECK_FALSE(patient.fail());
    CHECK(patient.states() == "uu");
}

TEST_CASE("balancer: a connection tries each upstream once, those that rest last")
{
    auto options = group(Balance::round_robin, {1, 5, 1});
    options.max_fails = 2;
    World world(options);
    CHECK(world.tries() == "bac");
    CHECK(world.states() == "uuu");
    Attempt attempt;
    world.balancer.replace(group(Balance::round_robin, {0, 1, 0}).upstreams, start);
    world.fail();
    world.balancer.replace(options.upstreams, start);
    CHECK(world.states() == "uru");
    CHECK(world.tries().back() == 'b');
}

TEST_CASE("balancer: a check that says down keeps every connection away until as many say up")
{
    auto options = group(Balance::round_robin, {1, 1});
    options.check.fall = 3;
    options.check.rise = 2;
    options.max_fails = 1;
    World world(options);
    // The first one decides alone: nothing is known before.
    CHECK(world.check(0, false));
    CHECK(world.states() == "du");
    CHECK(world.visits(4) == "bbbb");
    CHECK_FALSE(world.check(0, true));
    CHECK_FALSE(world.check(0, false));
    CHECK_FALSE(world.check(0, true));
    CHECK(world.states() == "du");
    CHECK(world.check(0, true));
    CHECK(world.states() == "uu");

    CHECK_FALSE(world.check(1, true));
    CHECK_FALSE(world.check(1, false));
    CHECK_FALSE(world.check(1, false));
    CHECK(world.states() == "uu");
    CHECK(world.check(1, false));
    CHECK(world.check(0, false) == false);
    world.check(0, false);
    CHECK(world.check(0, false));
    CHECK(world.states() == "dd");
    CHECK_FALSE(world.balancer.available(world.now));
    // Not even as a last resort.
    CHECK(world.visit() == '-');

    // What clients found out before is forgotten when checks say that it works.
    world.check(0, true);
    world.check(0, true);
    world.fail();
    CHECK(world.states() == "rd");
    for (int i = 0; i < 3; ++i)
        world.check(0, false);
    world.check(0, true);
    CHECK(world.check(0, true));
    CHECK(world.states() == "ud");
}

TEST_CASE("balancer: who comes back gets its weight little by little")
{
    auto options = group(Balance::least_connections, {1, 1});
    options.slow_start = 10s;
    options.check.rise = 1;
    options.max_fails = 1;
    World world(options);
    const auto shares = [&] {
        int first = 0;
        std::vector<Attempt*> made;
        for (int i = 0; i < 110; ++i)
            first += world.name(*made.emplace_back(&world.connect())) == 'a';
        for (auto* attempt : made)
            world.balancer.release(*attempt, world.now);
        return first;
    };
    // At the start there is nobody to come back.
    CHECK(shares() == 55);
    world.check(0, false);
    CHECK(shares() == 0);
    world.check(0, true);
    world.now += 1s;
    CHECK(shares() == 10);
    world.now += 4s;
    CHECK(shares() == 37);
    world.now += 5s;
    CHECK(shares() == 55);

    // Whether a check says so or a client finds out; and one that is new.
    world.balancer.replace(group(Balance::least_connections, {1, 0}).upstreams, world.now);
    world.fail();
    CHECK(world.succeed());
    world.now += 20s;
    world.balancer.replace(group(Balance::least_connections, {1, 1}).upstreams, world.now);
    world.now += 1s;
    CHECK(shares() == 100);
    world.now += 20s;
    world.balancer.replace(group(Balance::least_connections, {1, 1, 2}).upstreams, world.now);
    world.now += 1s;
    CHECK(shares() == 50);
}

TEST_CASE("balancer: another list keeps what is known, lets connections end, and forgets whom nobody uses")
{
    auto options = group(Balance::round_robin, {1, 1});
    options.max_fails = 1;
    World world(options);
    auto& on_a = world.connect();
    auto& on_b = world.connect();
    REQUIRE(world.name(on_a) == 'a');
    REQUIRE(world.name(on_b) == 'b');

    world.balancer.replace(group(Balance::round_robin, {0, 3, 1}).upstreams, start);
    CHECK(world.states() == "duu");
    CHECK(world.connections(0) == 1);
    CHECK(world.visits(4) == "bbcb");

    // `a` and `c` are missing: `c` has nobody.
    auto only_b = group(Balance::round_robin, {0, 1}).upstreams;
    only_b.erase(only_b.begin());
    world.balancer.replace(only_b, start);
    REQUIRE(world.balancer.snapshot(start).size() == 2);
    CHECK(world.balancer.snapshot(start)[0].name == "10.0.0.2:80");
    CHECK(world.balancer.snapshot(start)[1].name == "10.0.0.1:80");
    CHECK(world.balancer.snapshot(start)[1].state == UpstreamState::draining);
    CHECK(world.balancer.snapshot(start)[1].connections == 1);
    CHECK(world.visits(3) == "bbb");

    SUBCASE("gone with its last connection")
    {
        world.balancer.release(on_a, start);
        CHECK(world.balancer.snapshot(start).size() == 1);
    }
    SUBCASE("back before")
    {
        world.balancer.replace(group(Balance::round_robin, {1, 1}).upstreams, start);
        CHECK(world.connections(0) == 1);
        world.balancer.release(on_a, start);
        CHECK(world.balancer.snapshot(start).size() == 2);
        CHECK(world.states() == "uu");
    }
    SUBCASE("its health stays")
    {
        CHECK(world.fail());
        only_b.front().weight = 7;
        world.balancer.replace(only_b, start);
        CHECK(world.states() == "rd");
        CHECK(world.balancer.snapshot(start)[0].weight == 7);
    }
}

TEST_CASE("balancer: in turn goes on where it was when another list comes")
{
    World world(group(Balance::round_robin, {1, 1, 1}));
    CHECK(world.visits(2) == "ab");
    world.balancer.replace(group(Balance::round_robin, {1, 1, 1}).upstreams, start);
    CHECK(world.visits(4) == "cabc");
}

TEST_CASE("balancer: when all are full a connection waits for its turn")
{
    auto options = group(Balance::source_hash, {1, 1});
    options.max_per_upstream = 2;
    options.queue_size = 3;
    World world(options);
    std::vector<Attempt*> running;
    // The same source: to the next one with room when its own is full.
    for (int i = 0; i < 4; ++i) {
        running.push_back(&world.connect());
        CHECK(world.last == Selection::go);
    }
    CHECK(world.connections(0) == 2);
    CHECK(world.connections(1) == 2);

    std::vector<Attempt*> waiting;
    for (int i = 0; i < 3; ++i) {
        waiting.push_back(&world.connect());
        CHECK(world.last == Selection::wait);
    }
    world.connect();
    CHECK(world.last == Selection::full);
    CHECK(world.balancer.waiting() == 3);

    SUBCASE("first come, first served, and nobody overtakes")
    {
        const auto freed = running[0]->member();
        world.balancer.release(*running[0], start);
        CHECK(waiting[0]->member() == freed);
        CHECK_FALSE(waiting[1]->member());
        CHECK(world.balancer.waiting() == 2);
        CHECK(world.connections(0) + world.connections(1) == 4);
        world.connect();
        CHECK(world.last == Selection::wait);
        world.balancer.release(*running[1], start);
        CHECK(waiting[1]->member());
        CHECK_FALSE(waiting[2]->member());
    }
    SUBCASE("who leaves gives up its place, and what it was just given")
    {
        world.balancer.release(*waiting[0], start);
        CHECK(world.balancer.waiting() == 2);
        world.balancer.release(*running[0], start);
        CHECK(waiting[1]->member());
        world.balancer.release(*waiting[1], start);
        CHECK(waiting[2]->member());
        CHECK(world.served.size() == 2);
        CHECK(world.balancer.waiting() == 0);
    }
    SUBCASE("who is still there at the end")
    {
        for (auto& attempt : world.attempts)
            world.balancer.release(attempt, start);
        CHECK(world.balancer.waiting() == 0);
        CHECK(world.connections(0) + world.connections(1) == 0);
    }
    SUBCASE("a new upstream has room")
    {
        world.balancer.replace(group(Balance::source_hash, {1, 1, 1}).upstreams, start);
        world.balancer.serve(start);
        CHECK(world.served == "cc");
        CHECK(world.balancer.waiting() == 1);
    }
    SUBCASE("none is left")
    {
        for (const auto index : {0u, 1u})
            CHECK(world.check(index, false));
        world.balancer.serve(start);
        CHECK(world.served == "---");
        CHECK(world.balancer.waiting() == 0);
    }
}

TEST_CASE("balancer: connections that wait and want to know hear of their places, each time that these change")
{
    auto options = group(Balance::round_robin, {1});
    options.max_per_upstream = 1;
    World world(options);
    auto& running = world.connect();
    std::map<int, std::string> heard;
    std::vector<Attempt*> waiting;
    for (int i = 1; i <= 3; ++i) {
        waiting.push_back(&world.connect());
        if (i != 2)
            waiting.back()->on_place([&heard, i](const QueuePlace& place) {
                heard[i] += std::to_string(place.position()) + "/" + std::to_string(place.waiting()) + " ";
            });
    }
    const auto tell = [&] {
        for (const auto& [listener, place] : world.balancer.changed_places())
            listener(place);
    };
    tell();
    tell();
    CHECK(heard == std::map<int, std::string>{{1, "1/3 "}, {3, "3/3 "}});
    world.balancer.release(*waiting[1], world.now);
    tell();
    CHECK(heard == std::map<int, std::string>{{1, "1/3 1/2 "}, {3, "3/3 2/2 "}});
    world.balancer.release(running, world.now);
    tell();
    CHECK(heard == std::map<int, std::string>{{1, "1/3 1/2 "}, {3, "3/3 2/2 1/1 "}});
}

TEST_CASE("balancer: room at one that works is worth waiting for, one that rests is tried only alone")
{
    auto options = group(Balance::round_robin, {1, 1});
    options.max_per_upstream = 1;
    options.max_fails = 1;
    options.fail_timeout = 10s;
    World world(options);
    auto& running = world.connect();
    REQUIRE(world.name(running) == 'a');
    CHECK(world.fail());
    REQUIRE(world.states() == "ur");
    auto& waiting = world.connect();
    CHECK(world.last == Selection::wait);
    SUBCASE("it has rested")
    {
        world.now += 10s;
        world.connect();
        // Whoever comes then does not overtake.
        CHECK(world.served == "b");
        CHECK(world.name(waiting) == 'b');
        CHECK(world.last == Selection::wait);
    }
    SUBCASE("the other one is down")
    {
        world.check(0, false);
        world.balancer.serve(world.now);
        CHECK(world.served == "b");
    }
    SUBCASE("one that has failed already waits for another one, whoever waits behind it")
    {
        world.balancer.release(waiting, world.now);
        world.now += 10s;
        auto& retry = world.connect();
        REQUIRE(world.name(retry) == 'b');
        world.balancer.failed(retry, world.now);
        CHECK(world.balancer.take(retry, world.now) == Selection::wait);
        retry.on_served([&] { world.served += "retry on a"; });
        world.now += 10s;
        // `b` has rested: of use to others.
        auto& other = world.connect();
        CHECK(world.name(other) == 'b');
        world.connect();
        CHECK(world.last == Selection::wait);
        world.balancer.release(other, world.now);
        CHECK(world.served == "b");
        world.balancer.release(running, world.now);
        CHECK(world.served == "bretry on a");
    }
}

TEST_CASE("balancer: a name without an address is down until a look-up finds one")
{
    UpstreamOptions options;
    options.upstreams = {Upstream::tcp("web.example", 80)};
    options.slow_start = 10s;
    Balancer balancer(options);
    auto& member = *balancer.members().at(0);
    CHECK_FALSE(balancer.available(start));
    CHECK(balancer.snapshot(start).at(0).state == UpstreamState::down);
    Attempt attempt;
    CHECK(balancer.take(attempt, start) == Selection::none);

    CHECK(balancer.not_found(member));
    CHECK_FALSE(balancer.not_found(member));
    const Balancer::Endpoints found = {{asio::ip::make_address("10.0.0.1"), 80}};
    CHECK(balancer.found(member, found, start));
    CHECK_FALSE(balancer.found(member, found, start));
    CHECK(balancer.snapshot(start).at(0).state == UpstreamState::up);

    // The addresses that it has are better than none.
    CHECK(balancer.not_found(member));
    CHECK(member.lost());
    CHECK(balancer.take(attempt, start) == Selection::go);
    balancer.release(attempt, start);
}

TEST_CASE("an operator drains an upstream, whatever the list says, and fills it again")
{
    const auto options = group(Balance::round_robin, {1, 1});
    World world(options);
    CHECK(world.balancer.drain("10.0.0.1:80", true, start));
    CHECK(world.balancer.snapshot(start)[0].state == UpstreamState::draining);
    CHECK(world.visits(3) == "bbb");
    world.balancer.replace(options.upstreams, start);
    CHECK(world.visits(3) == "bbb");
    CHECK(world.balancer.drain("10.0.0.1:80", false, start));
    CHECK(world.balancer.snapshot(start)[0].state == UpstreamState::up);
    CHECK(world.visits(2).find('a') != std::string::npos);
    CHECK_FALSE(world.balancer.drain("10.0.0.9:80", true, start));
}
