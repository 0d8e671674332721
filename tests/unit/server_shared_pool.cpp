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
