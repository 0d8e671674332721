// SPDX-License-Identifier: MIT
// How much goes where: windows, turns on the link, and what waits for slow receivers.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tunnel_ends.hpp"

using namespace tunnel_ends;

TEST_CASE("multiplexer: no end is ever sent more than its window, and reading opens it again")
{
    TunnelOptions options;
    options.session_buffer = 10'000;
    Pair link(options);
    const auto [there, here] = link.open();
    const std::string data(50'000, 'd');
    CHECK(link.server.send(there, data) == "10000");
    CHECK(!link.server.all.writable(*there));
    int woken = 0;
    there->on_change([&] { ++woken; });
    link.settle();
    CHECK(woken == 0);
    CHECK(link.agent.read(here, 4000).size() == 4000);
    link.settle();
    CHECK(woken == 0);
    CHECK(link.agent.read(here, 4000).size() == 4000);
    link.settle();
    CHECK(woken == 1);
    CHECK(link.server.send(there, data) == "8000");
    // Another session is not concerned.
    const auto [second, at_agent] = link.open(other_user);
    CHECK(link.server.send(second, "x") == "1");
    link.settle();
    CHECK(link.agent.read(at_agent) == "x");
}

TEST_CASE("multiplexer: who sends more than the window, or after its end, ends the link")
{
    TunnelOptions options;
    options.session_buffer = 4096;
    Pair link(options);
    const auto [there, here] = link.open();
    CHECK(!link.agent.gets(TunnelCommand::forward, user, target, std::string(4097, 'x')));

    Pair second(options);
    const auto pair = second.open();
    second.server.all.finish(pair.first, second.now);
    second.settle();
    const auto late = second.agent.gets(TunnelCommand::forward, user, target, "x");
    REQUIRE(!late);
    CHECK(late.error().message() == "data came after the end of session 192.0.2.1:5000");
}

TEST_CASE("multiplexer: a full session holds up the link of an original, and is ended when others wait for it")
{
    TunnelOptions options;
    options.session_buffer = 20'000;
    Foreign link(options);
    const auto slow = link.server.all.open(user, target, "slow", link.now);
    link.server.send(slow, "x");
    const std::string data(8192, 'd');
    for (int i = 0; i < 3; ++i) {
        CHECK(link.server.all.may_receive());
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, data));
    }
    CHECK(!link.server.all.may_receive());
    // Alone it may take its time.
    for (int i = 0; i < 5; ++i) {
        link.now += 2s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(!slow->broken());
    }
    SUBCASE("it goes on")
    {
        CHECK(link.server.read(slow, 14'577).size() == 14'577);
        CHECK(link.server.all.may_receive());
    }
    SUBCASE("others wait")
    {
        const auto other = link.server.all.open(other_user, target, "other", link.now);
        link.server.send(other, "x");
        link.server.takes_out();
        link.now += 2s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(slow->broken());
        CHECK(link.server.all.may_receive());
        CHECK(link.server.takes_out() == "DIS too slow: others wait for it");
        CHECK(link.server.disconnected == std::vector<std::string>{"too slow: others wait for it"});
        REQUIRE(link.server.gets(TunnelCommand::forward, target, other_user, "fine"));
        CHECK(link.server.read(other) == "fine");
    }
    SUBCASE("its user goes")
    {
        link.server.all.close(slow, "closed", link.now);
        CHECK(link.server.all.may_receive());
    }
}

TEST_CASE("multiplexer: while the link has no room for all, each has its turn")
{
    TunnelOptions options;
    options.session_buffer = 64 << 20;
    Pair link(options);
    std::vector<TunnelSessionPtr> sessions;
    std::vector<std::size_t> sent(5);
    std::deque<std::size_t> woken;
    for (std::size_t i = 0; i < sent.size(); ++i) {
        const TunnelAddress from(1, static_cast<std::uint16_t>(i + 1));
        sessions.push_back(link.server.all.open(from, target, "", link.now));
        sessions.back()->on_change([&woken, i] { woken.push_back(i); });
        woken.push_back(i);
    }
    const std::string data(1 << 20, 'd');
    for (int round = 0; round < 300; ++round) {
        for (; !woken.empty(); woken.pop_front()) {
            const auto i = woken.front();
            while (const auto count = link.server.all.send(sessions[i], bytes_of(data), link.now).value_or(0))
                sent[i] += count;
        }
        link.server.all.sent(std::min<std::size_t>(link.server.all.output().size(), 200'000), link.now);
        // One that is gone does not keep its turn.
        if (round == 100)
            link.server.all.close(sessions[4], "closed", link.now);
    }
    const auto least = *std::min_element(sent.begin(), sent.end() - 1),
               most = *std::max_element(sent.begin(), sent.end());
    CAPTURE(sent[0]);
    CHECK(least > 5'000'000);
    CHECK(most - least < 1'000'000);
}

TEST_CASE("multiplexer: sessions that stall do not keep the link from others, however many there are")
{
    for (const std::size_t count : {4, 5, 40, 1000}) {
        CAPTURE(count);
        TunnelOptions options;
        options.session_buffer = 64 << 10;
        options.max_sessions = 0;
        Pair link(options);
        const std::string data(1 << 20, 'd');
        std::vector<TunnelSessionPtr> stalled;
        for (std::size_t i = 0; i < count; ++i)
            stalled.push_back(link.open(TunnelAddress(1, static_cast<std::uint16_t>(i + 1))).first);
        // They send until their windows and the link are full, and want to send more ever after.
        for (bool sends = true; sends; link.settle()) {
            sends = false;
            for (const auto& session : stalled)
                while (link.server.all.send(session, bytes_of(data), link.now))
                    sends = true;
        }
        const auto [fresh, at_agent] = link.open(other_user);
        int woken = 0;
        fresh->on_change([&, &other = fresh] { woken += link.server.all.writable(*other) ? 1 : 0; });
        std::string got;
        for (int i = 0; i < 100; ++i) {
            link.server.send(fresh, std::string(10'000, 'f'));
            link.settle();
            if (const auto text = link.agent.read(at_agent); text != "would block")
                got += text;
            link.settle();
        }
        CHECK(got.size() == 1'000'000);
    }
}

TEST_CASE("multiplexer: a window that opens while others wait for the link gets its session a turn")
{
    TunnelOptions options;
    options.session_buffer = 1 << 20;
    Pair link(options);
    const std::string data(4 << 20, 'd');
    const auto [blocked, at_agent] = link.open();
    while (link.server.all.send(blocked, bytes_of(data), link.now))
        link.settle();
    bool woken = false;
    blocked->on_change([&, &session = blocked] { woken = woken || link.server.all.writable(*session); });
    // Another one fills the link, and waits.
    const auto other = link.open(other_user).first;
    while (link.server.all.send(other, bytes_of(data), link.now)) {}
    CHECK(link.agent.read(at_agent, 1 << 20).size() == 1 << 20);
    Pair::move(link.agent, link.server);
    CHECK(!woken);
    link.server.all.sent(link.server.all.output().size(), link.now);
    CHECK(woken);
    CHECK(link.server.all.send(blocked, bytes_of(data), link.now).value_or(0) > 0);
}

TEST_CASE("multiplexer: what waits for all slow receivers together has a limit; the session with most of it ends")
{
    TunnelOptions options;
    options.session_buffer = 100'000;
    options.total_buffer = 250'000;
    Pair link(options);
    const auto big = link.open(TunnelAddress(1, 1)), done = link.open(TunnelAddress(1, 2)),
               small = link.open(TunnelAddress(1, 3)), fresh = link.open(TunnelAddress(1, 4));
    const auto send = [&](const auto& session, std::size_t size) {
        CHECK(link.server.send(session.first, std::string(size, 'd')) == std::to_string(size));
        link.settle();
    };
    send(big, 100'000);
    // One that is over but for its receiver counts too.
    send(done, 90'000);
    link.server.all.finish(done.first, link.now);
    link.agent.all.finish(done.second, link.now);
    send(small, 50'000);
    CHECK(!big.second->broken());
    send(fresh, 20'000);
    CHECK(link.agent.read(big.second) == "reset");
    CHECK(link.server.read(big.first) == "reset");
    CHECK(link.agent.disconnected.size() == 1);
    CHECK(link.agent.read(done.second).size() == 90'000);
    CHECK(link.agent.read(small.second).size() == 50'000);
    CHECK(link.agent.read(fresh.second).size() == 20'000);
}

TEST_CASE("multiplexer: toward an original, more than all receivers together may leave holds up the link")
{
    TunnelOptions options;
    options.session_buffer = 20'000;
    options.total_buffer = 30'000;
    Foreign link(options);
    std::vector<TunnelSessionPtr> users;
    for (std::uint16_t port = 1; port <= 3; ++port) {
        users.push_back(link.server.all.open(TunnelAddress(1, port), target, "", link.now));
        link.server.send(users.back(), "x");
    }
    const std::string data(8192, 'd');
    for (const auto& user : users) {
        REQUIRE(link.server.all.may_receive());
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user->user(), data));
    }
    CHECK(link.server.all.may_receive());
    REQUIRE(link.server.gets(TunnelCommand::forward, target, users[0]->user(), data));
    CHECK(!link.server.all.may_receive());
    CHECK(link.server.read(users[0]).size() == 16'384);
    CHECK(link.server.all.may_receive());
}
