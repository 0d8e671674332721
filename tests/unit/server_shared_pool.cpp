// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "server_fixture.hpp"

using namespace server_fixture;

TEST_CASE("server: of two servers with one pool, one ends while the other goes on")
{
    ServerFixture fixture;
    auto acceptor = listen_tcp(fixture.workers.control(), {asio::ip::address_v4::loopback(), 0});
    REQUIRE(acceptor);
    std::vector<std::unique_ptr<Acceptor>> acceptors;
    acceptors.push_back(std::move(*acceptor));
    PairBridge bridge;
    EventLog events;
    Server other(fixture.workers, ServerOptions("other"), std::move(acceptors), std::make_unique<OpenAuthenticator>(),
                 fixture.pool, bridge, events);
    fixture.start();
    auto running = fixture.loop.start(other.run());
    fixture.loop.settle();
    auto client = fixture.joined();

    SUBCASE("at once") { other.stop(); }
    SUBCASE("in order") { other.drain(0s); }
    REQUIRE(fixture.loop.until([&] { return running.done(); }));
    CHECK(running.value().has_value());
    CHECK(fixture.backend.running() == 1);
    auto& instance = fixture.last_connection();
    fixture.send(client, "still here");
    CHECK(fixture.arrives(instance, "still here"));
    auto newcomer = fixture.joined();
    CHECK(fixture.backend.running() == 2);
}

TEST_CASE("server: one that retires ends with its own sessions, another one with its pool and its socket goes on")
{
    Setup setup;
    setup.server.session_count = std::make_shared<std::uint64_t>(4);
    ServerOptions options("service");
    options.session_count = setup.server.session_count;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto early = fixture.joined();
    auto& instance = fixture.last_connection();

    std::vector<std::unique_ptr<Acceptor>> acceptors;
    auto shared = fixture.listener->share();
    REQUIRE(shared);
    acceptors.push_back(std::move(*shared));
    PairBridge bridge;
    Server successor(fixture.workers, std::move(options), std::move(acceptors), std::make_unique<OpenAuthenticator>(),
                     fixture.pool, bridge, fixture.events);
    auto running = fixture.loop.start(successor.run());
    fixture.loop.settle();
    fixture.server.retire();
    auto late = fixture.joined();
    CHECK(successor.sessions() == 1);
    CHECK(fixture.server.sessions() == 1);
    CHECK_FALSE(fixture.running->done());
    CHECK(fixture.loop.run(successor.snapshot()).front().id == 6);

    instance.shutdown_send();
    CHECK(early.shutdown_send());
    CHECK(fixture.rest(early) == "");
    REQUIRE(fixture.loop.until([&] { return fixture.running->done(); }));
    CHECK(fixture.end() == SessionEnd::completed);
    CHECK(fixture.summary().id == 5);
    fixture.send(late, "still here");
    CHECK(fixture.arrives(fixture.last_connection(), "still here"));
    successor.stop();
    REQUIRE(fixture.loop.until([&] { return running.done(); }));
}

TEST_CASE("server: a client that has just been taken in is served, though it drains or retires")
{
    ServerFixture fixture;
    fixture.start();
    auto client = make_socket_stream(fixture.loop.executor(), fixture.socket_to_server());
    REQUIRE(fixture.loop.until([&] { return fixture.server.sessions() == 1; }));
    SUBCASE("drain") { fixture.server.drain(0s); }
    SUBCASE("retire") { fixture.server.retire(); }
    fixture.loop.settle();
    auto& instance = fixture.last_connection();
    instance.send("answer");
    instance.shutdown_send();
    CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == "answer");
    REQUIRE(fixture.loop.until([&] { return fixture.running->done(); }));
}
