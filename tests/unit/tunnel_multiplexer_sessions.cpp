// SPDX-License-Identifier: MIT
// The life of a session between two of ours, how many there may be, and what they are called.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <doctest/doctest.h>

#include "tunnel_ends.hpp"

using namespace tunnel_ends;

TEST_CASE("multiplexer: half-close and end in order between two of ours; the address is free then")
{
    Pair link;
    const auto [there, here] = link.open();
    link.server.all.finish(there, link.now);
    link.settle();
    CHECK(link.agent.read(here) == "eof");
    CHECK(link.agent.send(here, "answer") == "6");
    link.agent.all.finish(here, link.now);
    link.settle();
    CHECK(link.server.read(there) == "answer");
    CHECK(link.server.read(there) == "eof");
    CHECK(link.server.all.sessions().empty());
    link.server.all.close(there, "closed", link.now);
    link.agent.all.close(here, "closed", link.now);
    CHECK(link.server.takes_out() == "");
    CHECK(link.agent.takes_out() == "");
    CHECK(link.open().first->user() == user);
}

TEST_CASE("multiplexer: a reset reaches the other end after the data, whoever resets, and both at once")
{
    for (const int who : {0, 1, 2}) {
        CAPTURE(who);
        Pair link;
        const auto [there, here] = link.open();
        CHECK(link.server.send(there, "up") == "2");
        CHECK(link.agent.send(here, "down") == "4");
        if (who != 0)
            link.agent.all.close(here, "ECONNRESET", link.now);
        if (who != 1)
            link.server.all.close(there, "ECONNRESET", link.now);
        // Until the other end has said that it knows, the address stays taken.
        CHECK(link.server.all.open(user, target, "", link.now)->user() != user);
        link.settle();
        if (who == 0) {
            CHECK(link.agent.read(here) == "up");
            CHECK(link.agent.read(here) == "reset");
        }
        if (who == 1) {
            CHECK(link.server.read(there) == "down");
            CHECK(link.server.read(there) == "reset");
            CHECK(link.server.send(there, "x") != "1");
        }
        CHECK(link.open().first->user() == user);
    }
}

TEST_CASE("multiplexer: addresses on the link are unique; those made up are of 240.0.0.0/4")
{
    Foreign link;
    const auto first = link.server.all.open(user, target, "first", link.now);
    const auto second = link.server.all.open(user, target, "second", link.now);
    const auto third = link.server.all.open(std::nullopt, target, "[2001:db8::1]:1", link.now);
    CHECK(first->user() == user);
    CHECK(second->user().to_string() == "240.0.0.1:1");
    CHECK(third->user().to_string() == "240.0.0.1:2");
    CHECK(link.server.all.sessions().size() == 3);
    CHECK(link.server.all.disconnect("[2001:db8::1]:1", link.now));
    CHECK(third->broken());
    CHECK(!link.server.all.disconnect("[2001:db8::1]:1", link.now));
    CHECK(link.server.all.disconnect("240.0.0.1:1", link.now));
    CHECK(link.server.all.sessions().size() == 1);
    // Of these the agent has not heard; of this one it has, and stragglers may come.
    link.server.send(first, "x");
    link.server.all.close(first, "closed", link.now);
    CHECK(link.server.all.open(user, target, "", link.now)->user() != user);
    link.now += 3s;
    CHECK(link.server.all.open(user, target, "", link.now)->user() == user);
}

TEST_CASE("multiplexer: an agent refuses sessions beyond its limit, and takes new ones when others are over")
{
    TunnelOptions options;
    options.max_sessions = 2;
    Pair link(options);
    const auto first = link.open(TunnelAddress(1, 1)), second = link.open(TunnelAddress(1, 2));
    const auto third = link.open(TunnelAddress(1, 3)).first;
    CHECK(link.agent.opened.size() == 2);
    CHECK(link.agent.refused == 1);
    CHECK(link.server.read(third) == "reset");
    CHECK(link.server.disconnected == std::vector<std::string>{"EMFILE the agent has 2 sessions already"});
    // What was on its way opens nothing.
    REQUIRE(link.agent.gets(TunnelCommand::forward, TunnelAddress(1, 4), target, "straggler"));
    CHECK(link.agent.takes_out() == "");
    // A session counts until its target is let go, whatever the server has said about it.
    link.server.all.close(first.first, "closed", link.now);
    link.settle();
    CHECK(link.open(TunnelAddress(1, 5)).second == second.second);
    link.agent.all.close(first.second, "closed", link.now);
    CHECK(link.open(TunnelAddress(1, 6)).second->user() == TunnelAddress(1, 6));
    CHECK(link.agent.opened.size() == 3);
}

TEST_CASE(
    "multiplexer: a server that opens sessions without end, and answers nothing, makes an agent keep no more of them")
{
    TunnelOptions options;
    options.max_sessions = 10;
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now, options);
    SUBCASE("of our kind")
    {
        REQUIRE(agent.gets(TunnelCommand::greeting, server_address, agent_address, "instancer-tunnel 1 window=65536"));
    }
    SUBCASE("of the original") {}
    for (std::uint32_t i = 0; i < 200'000; ++i) {
        REQUIRE(agent.gets(TunnelCommand::forward, TunnelAddress(i + 1, 1), target));
        if (i % 2 == 0)
            REQUIRE(agent.gets(TunnelCommand::disconnect, TunnelAddress(i + 1, 1), target));
        agent.all.sent(agent.all.output().size(), now);
        if (i % 3 == 0 && !agent.opened.empty()) {
            agent.all.close(agent.opened.back(), "ECONNREFUSED", now);
            agent.opened.pop_back();
        }
        REQUIRE(agent.opened.size() <= 10);
        REQUIRE(agent.all.sessions().size() <= 10);
    }
    CHECK(agent.refused > 0);
}

TEST_CASE("multiplexer: whatever two of ours do, all bytes arrive in order, and nothing is left")
{
    for (unsigned seed = 1; seed <= 30; ++seed) {
        CAPTURE(seed);
        std::mt19937 random(seed);
        TunnelOptions options;
        options.session_buffer = 4096 + random() % 20'000;
        Pair link(options);
        struct Stream {
            TunnelSessionPtr there, here;
            std::string sent_up, sent_down, got_up, got_down;
            bool up_over = false, down_over = false;
        };
        std::vector<Stream> streams(1 + random() % 6);
        for (std::size_t i = 0; i < streams.size(); ++i)
            std::tie(streams[i].there, streams[i].here) =
                link.open(TunnelAddress(7, static_cast<std::uint16_t>(i + 1)));
        const auto step = [&](End& from, End& to, const TunnelSessionPtr& out, const TunnelSessionPtr& in,
                              std::string& sent, std::string& got, bool& over) {
            if (!over && random() % 2 == 0) {
                std::string data(1 + random() % 9000, static_cast<char>('a' + random() % 26));
                sent += data.substr(0, from.all.send(out, bytes_of(data), link.now).value_or(0));
            }
            if (random() % 3 == 0)
                if (const auto text = to.read(in, 1 + random() % 9000); text != "would block" && text != "eof")
                    got += text;
            if (!over && random() % 40 == 0) {
                from.all.finish(out, link.now);
                over = true;
            }
        };
        for (int i = 0; i < 2000; ++i) {
            auto& one = streams[random() % streams.size()];
            step(link.server, link.agent, one.there, one.here, one.sent_up, one.got_up, one.up_over);
            step(link.agent, link.server, one.here, one.there, one.sent_down, one.got_down, one.down_over);
            if (random() % 4 == 0)
                Pair::move(link.server, link.agent);
            if (random() % 4 == 0)
                Pair::move(link.agent, link.server);
        }
        for (auto& one : streams) {
            link.server.all.finish(one.there, link.now);
            link.agent.all.finish(one.here, link.now);
            for (std::string text; text != "eof";) {
                link.settle();
                text = link.agent.read(one.here);
                one.got_up += text == "eof" || text == "would block" ? "" : text;
            }
            for (std::string text; text != "eof";) {
                link.settle();
                text = link.server.read(one.there);
                one.got_down += text == "eof" || text == "would block" ? "" : text;
            }
            CHECK(one.got_up == one.sent_up);
            CHECK(one.got_down == one.sent_down);
        }
        CHECK(link.server.all.sessions().empty());
        CHECK(link.agent.all.sessions().empty());
    }
}
