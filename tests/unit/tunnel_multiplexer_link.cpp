// SPDX-License-Identifier: MIT
// What two ends settle about their link: what they are, that they are alive, and what has no place on it.
#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tunnel_ends.hpp"

using namespace tunnel_ends;

TEST_CASE("multiplexer: two of ours recognise each other, open at once, and carry both directions")
{
    Pair link;
    CHECK(link.server.all.negotiated());
    CHECK(link.agent.all.negotiated());
    const auto [there, here] = link.open();
    CHECK(here->user() == user);
    CHECK(here->target() == target);
    // The server speaks first.
    CHECK(link.agent.send(here, "banner") == "6");
    CHECK(link.server.send(there, "question") == "8");
    link.settle();
    CHECK(link.server.read(there) == "banner");
    CHECK(link.agent.read(here) == "question");
    CHECK(link.server.read(there) == "would block");
}

TEST_CASE("multiplexer: sessions that began before both ends knew each other stay without windows, at both")
{
    TunnelOptions options;
    options.session_buffer = 4096;
    TunnelMultiplexer::TimePoint now{1h};
    End server(End::Role::server, now, options), agent(End::Role::agent, now, options);
    const auto early = server.all.open(user, target, "early", now);
    Pair::exchange(agent, server);
    REQUIRE(agent.opened.size() == 1);
    CHECK(!early->negotiated());
    CHECK(!agent.opened[0]->negotiated());
    const auto late = server.all.open(other_user, target, "late", now);
    Pair::exchange(server, agent);
    REQUIRE(agent.opened.size() == 2);
    CHECK(late->negotiated());
    CHECK(agent.opened[1]->negotiated());
    now += 100ms;
    REQUIRE(server.all.advance(now));
    CHECK(server.send(early, std::string(10'000, 'x')) == "10000");
    Pair::exchange(server, agent);
    CHECK(agent.read(agent.opened[0]).size() == 10'000);
}

TEST_CASE("multiplexer: signs of life, asked for by the agent, answered by the server")
{
    Pair link;
    CHECK(link.agent.all.next_deadline() == link.now + 50s);
    link.now += 50s;
    REQUIRE(link.agent.all.advance(link.now));
    CHECK(link.agent.all.output().size() == 19 + 6);
    link.settle();
    CHECK(link.agent.round_trips == 1);
    CHECK(link.agent.all.next_deadline() == link.now + 50s);

    link.now += 50s;
    REQUIRE(link.agent.all.advance(link.now));
    link.now += 20s;
    const auto dead = link.agent.all.advance(link.now);
    REQUIRE(!dead);
    CHECK(dead.error() == Errc::timeout);

    // Echoed as it came, with the addresses swapped.
    Foreign original;
    REQUIRE(original.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456"));
    CHECK(original.server.takes_out() == "ALV 123456");
    CHECK(!original.server.gets(TunnelCommand::keep_alive, server_address, server_address, "1234567"));
}

TEST_CASE("multiplexer: CTL is answered by a message; FIN and WND are for those who agreed on them")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    agent.takes_out();
    REQUIRE(agent.gets(TunnelCommand::control, server_address, agent_address, "status"));
    CHECK(agent.controls == std::vector<std::string>{"status"});
    CHECK(agent.takes_out() == "CTL answer");
    CHECK(!agent.gets(TunnelCommand::finish, user, target));
    Foreign link;
    CHECK(!link.server.gets(TunnelCommand::window, target, user, "1234"));
}

TEST_CASE("multiplexer: who asks without ever reading is given up")
{
    Foreign link;
    Result<void> result;
    for (int i = 0; i < 1'000'000 && result; ++i)
        result = link.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456");
    REQUIRE(!result);
    CHECK(result.error().message() == "the other end asks for more than it takes");
}

TEST_CASE("multiplexer: sequence numbers wrap as the original's do")
{
    Foreign link;
    std::vector<std::uint16_t> numbers;
    TunnelMessageDecoder decoder;
    for (int i = 0; i < 65'540; ++i) {
        REQUIRE(link.server.gets(TunnelCommand::keep_alive, server_address, server_address, "123456"));
        REQUIRE(decoder.feed(link.server.all.output(), [&](const TunnelMessage& message) {
            numbers.push_back(message.sequence);
            return Result<void>();
        }));
        link.server.all.sent(link.server.all.output().size(), link.now);
    }
    CHECK(numbers[0] == 2);
    CHECK(numbers[65'532] == 65'534);
    CHECK(numbers[65'533] == 0);
    CHECK(numbers[65'534] == 1);
}

TEST_CASE("multiplexer: when the link is lost, all sessions end by reset, after what had come")
{
    Pair link;
    const auto [there, here] = link.open();
    link.agent.send(here, "data");
    link.settle();
    link.server.all.lose();
    CHECK(link.server.read(there) == "data");
    CHECK(link.server.read(there) == "reset");
    CHECK(link.server.send(there, "x") != "1");
    link.server.all.close(there, "closed", link.now);
}

TEST_CASE("multiplexer: an agent that was displaced is told so, says so, and is asked for a sign of life")
{
    Pair link;
    CHECK(!link.server.all.peer_was_displaced());
    link.server.all.displace("192.0.2.9:1", link.now);
    link.settle();
    CHECK(link.agent.displaced_by == std::vector<std::string>{"192.0.2.9:1"});

    End again(End::Role::agent, link.now, {}, true), server(End::Role::server, link.now);
    Pair::exchange(again, server);
    CHECK(server.all.peer_was_displaced());
    CHECK(server.all.negotiated());
    CHECK(again.all.negotiated());
    server.all.ask(link.now);
    Pair::exchange(server, again);
    CHECK(again.controls.size() == 1);
    CHECK(server.controls == std::vector<std::string>{"answer"});

    // The original prints a greeting, and has no answer to anything else.
    Foreign original;
    original.server.all.displace("192.0.2.9:1", original.now);
    CHECK(original.server.takes_out() == "");
    original.server.all.ask(original.now);
    CHECK(original.server.takes_out() == "GRT instancer");
}
