// SPDX-License-Identifier: MIT
// Sessions with the original at the other end, which knows neither windows nor half-close.
#include <cstddef>
#include <string>
#include <utility>

#include <doctest/doctest.h>

#include "tunnel_ends.hpp"

using namespace tunnel_ends;

TEST_CASE("multiplexer: toward an original agent, data waits for 100 ms after the opening, or for an answer")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    CHECK(link.server.takes_out() == "");
    CHECK(link.server.send(session, "first") == "5");
    CHECK(link.server.takes_out() == "FWD first");
    CHECK(!link.server.all.writable(*session));
    link.server.send(session, "second");
    CHECK(link.server.takes_out() == "");
    SUBCASE("time")
    {
        CHECK(link.server.all.next_deadline() == link.now + 100ms);
        link.now += 99ms;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(!link.server.all.writable(*session));
        link.now += 1ms;
        int woken = 0;
        session->on_change([&] { ++woken; });
        REQUIRE(link.server.all.advance(link.now));
        CHECK(woken == 1);
    }
    SUBCASE("answer")
    {
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "banner"));
        CHECK(link.server.read(session) == "banner");
    }
    CHECK(link.server.send(session, "second") == "6");
    CHECK(link.server.takes_out() == "FWD second");
}

TEST_CASE("multiplexer: toward an original agent, a user who says nothing is connected all the same")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.now += 100ms;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(link.server.takes_out() == "FWD");
    CHECK(!link.server.all.writable(*session));
}

TEST_CASE("multiplexer: to an original agent no message holds more than 8192 bytes of data")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    const std::string data(30'000, 'd');
    CHECK(link.server.send(session, data) == "8192");
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user));
    link.server.takes_out();
    CHECK(link.server.send(session, data) == "30000");
    CHECK(link.server.takes_out(false) == "FWD | FWD | FWD | FWD");
}

TEST_CASE("multiplexer: toward an original agent a half-close is held until the target ends, or is silent for long")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    link.server.all.finish(session, link.now);
    CHECK(link.server.takes_out() == "FWD question");
    SUBCASE("ends")
    {
        link.now += 29s;
        REQUIRE(link.server.all.advance(link.now));
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "late"));
        link.now += 29s;
        REQUIRE(link.server.all.advance(link.now));
        REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user));
        CHECK(link.server.read(session) == "late");
        CHECK(link.server.read(session) == "eof");
        CHECK(link.server.takes_out() == "");
    }
    SUBCASE("silent")
    {
        link.now += 30s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(link.server.takes_out() == "DIS nothing came after its half-close");
        CHECK(link.server.read(session) == "reset");
    }
}

TEST_CASE("multiplexer: how an original agent's DIS reads, in each of its forms")
{
    const std::pair<std::string, std::string> forms[] = {{"", "eof"},
                                                         {"remote disconnected already", "eof"},
                                                         {std::string("\x0a\0\0\1\0\x50", 6), "eof"},
                                                         {"ECONNREFUSED", "reset"},
                                                         {"ETIMEDOUT", "reset"},
                                                         {"EACCES", "reset"},
                                                         {"disconnected by system", "reset"}};
    for (const auto& [reason, end] : forms) {
        CAPTURE(reason);
        Foreign link;
        const auto session = link.server.all.open(user, target, "somebody", link.now);
        link.server.send(session, "x");
        REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "data"));
        REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user, reason));
        CHECK(link.server.read(session) == "data");
        CHECK(link.server.read(session) == end);
    }
    // The documentation has the session's address in the data.
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "x");
    REQUIRE(link.server.gets(TunnelCommand::disconnect, {}, {}, std::string("\xc0\x00\x02\x01\x13\x88", 6)));
    CHECK(link.server.read(session) == "eof");
}

TEST_CASE("multiplexer: an agent's target that ends is told to an original server at once, after its data")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    agent.takes_out();
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "question"));
    const auto session = agent.opened.front();
    CHECK(agent.send(session, "answer") == "6");
    agent.all.finish(session, now);
    CHECK(agent.takes_out() == "FWD answer | DIS target closed");
    CHECK(agent.read(session) == "question");
    CHECK(agent.read(session) == "eof");
    // What the server had sent before it knew opens no second connection.
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "straggler"));
    CHECK(agent.opened.size() == 1);
    CHECK(agent.takes_out() == "DIS remote disconnected already");
    now += 3s;
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "new"));
    CHECK(agent.opened.size() == 2);
}

TEST_CASE("multiplexer: an original server's user who leaves is heard to the end, and what the target still says goes")
{
    TunnelMultiplexer::TimePoint now{1h};
    End agent(End::Role::agent, now);
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "all of the file"));
    REQUIRE(agent.gets(TunnelCommand::disconnect, user, target));
    const auto session = agent.opened.front();
    CHECK(agent.send(session, "thanks") == "6");
    CHECK(agent.read(session) == "all of the file");
    CHECK(agent.read(session) == "eof");
    CHECK(!session->broken());
    now += 30s;
    REQUIRE(agent.all.advance(now));
    CHECK(session->broken());
}

TEST_CASE("multiplexer: after an original server's user has left, a target that takes what came is not cut off")
{
    TunnelMultiplexer::TimePoint now{1h};
    TunnelOptions options;
    options.keep_alive = 24h;
    End agent(End::Role::agent, now, options);
    REQUIRE(agent.gets(TunnelCommand::forward, user, target, "all of the file"));
    REQUIRE(agent.gets(TunnelCommand::disconnect, user, target));
    const auto session = agent.opened.front();
    std::size_t on_its_way = 0;
    session->on_silence([&] { return on_its_way; });
    const auto wait = [&] {
        now += 30s;
        REQUIRE(agent.all.advance(now));
    };
    wait();
    CHECK(!session->broken());
    CHECK(agent.read(session, 4) == "all ");
    wait();
    CHECK(!session->broken());
    CHECK(agent.read(session) == "of the file");
    for (on_its_way = 3; on_its_way > 0; --on_its_way) {
        wait();
        CHECK(!session->broken());
    }
    SUBCASE("it has everything") {}
    SUBCASE("it takes no more") { on_its_way = 1; }
    wait();
    CHECK(session->broken());
}

TEST_CASE("multiplexer: what an original agent's target sent before its end waits for the user, however long")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "answer"));
    SUBCASE("who has not ended") {}
    SUBCASE("who has ended") { link.server.all.finish(session, link.now); }
    REQUIRE(link.server.gets(TunnelCommand::disconnect, target, user));
    link.now += 24h;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(link.server.read(session) == "answer");
    CHECK(link.server.read(session) == "eof");
    CHECK(!session->broken());
}

TEST_CASE("multiplexer: while a half-close is held, a user who is slow to take the answer is not cut off")
{
    Foreign link;
    const auto session = link.server.all.open(user, target, "somebody", link.now);
    link.server.send(session, "question");
    link.server.all.finish(session, link.now);
    REQUIRE(link.server.gets(TunnelCommand::forward, target, user, "long answer"));
    for (const std::string part : {"lo", "ng ", "answer"}) {
        link.now += 30s;
        REQUIRE(link.server.all.advance(link.now));
        CHECK(link.server.read(session, part.size()) == part);
    }
    link.now += 30s;
    REQUIRE(link.server.all.advance(link.now));
    CHECK(session->broken());
}
