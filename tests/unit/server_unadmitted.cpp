// SPDX-License-Identifier: MIT
// Clients that have yet to say who they are, and who of them makes room.
#include <doctest/doctest.h>

#include <instancer/authenticator/prompt.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;

namespace {

/// Asks for the token `secret`, and has places for so many who have yet to name it.
Setup asking(std::size_t max_unadmitted)
{
    Setup setup;
    setup.authenticator = std::make_unique<PromptAuthenticator>(std::vector<std::string>{"secret"}, "? ");
    setup.server.unadmitted = std::make_shared<UnadmittedLimit>(max_unadmitted);
    return setup;
}

/// Goes through the prompt to an instance.
void log_in(ServerFixture& fixture, Stream& client)
{
    const auto before = fixture.backend.times_opened();
    fixture.send(client, "secret\n");
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == before + 1; }));
    fixture.loop.settle();
    CHECK(try_read(client) == "? ");
}

}  // namespace

TEST_CASE("unadmitted: who says nothing makes room for a newcomer, the oldest of the busiest source first")
{
    ServerFixture fixture(asking(3));
    fixture.start();
    auto neighbour = fixture.connect("127.0.0.3");
    auto oldest = fixture.connect("127.0.0.2"), silent = fixture.connect("127.0.0.2");
    CHECK(fixture.events.sessions().empty());
    auto client = fixture.connect();
    CHECK(fixture.rest(oldest) == "?  reset");
    CHECK(fixture.end() == SessionEnd::displaced);
    log_in(fixture, client);
    CHECK(try_read(neighbour) == "? ");
    CHECK(try_read(neighbour) == "would block");
    CHECK(try_read(silent) == "? ");
    CHECK(try_read(silent) == "would block");
}

TEST_CASE("unadmitted: who was admitted has no place there, and loses none")
{
    ServerFixture fixture(asking(1));
    fixture.start();
    auto admitted = fixture.connect();
    log_in(fixture, admitted);
    CHECK(fixture.server.sessions() == 1);
    auto silent = fixture.connect();
    CHECK(fixture.events.sessions().empty());
    auto other = fixture.connect();
    CHECK(fixture.rest(silent) == "?  reset");
    CHECK(fixture.events.sessions().size() == 1);
    fixture.send(admitted, "still here");
    CHECK(fixture.arrives(fixture.last_connection(), "still here"));
}

TEST_CASE("unadmitted: a place comes free with the end of its connection, however it ends")
{
    auto setup = asking(1);
    const auto limit = setup.server.unadmitted;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(limit->count() == 1);
    SUBCASE("unknown")
    {
        fixture.send(client, "guess\n");
        CHECK(fixture.end() == SessionEnd::authentication_failed);
    }
    SUBCASE("gone")
    {
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_left);
    }
    SUBCASE("killed")
    {
        CHECK(fixture.server.kill(1));
        CHECK(fixture.end() == SessionEnd::killed);
    }
    fixture.loop.settle();
    CHECK(limit->count() == 0);
}

TEST_CASE("unadmitted: behind a proxy it is the client that counts, once its header has come")
{
    auto setup = asking(2);
    setup.access.emplace();
    setup.access->proxies.add(true, Network(asio::ip::make_address("127.0.0.1")));
    ServerFixture fixture(std::move(setup));
    fixture.start();
    const auto connect_as = [&](const std::string& address) {
        auto client = fixture.connect();
        fixture.send(client, "PROXY TCP4 " + address + " 10.0.0.1 4000 443\r\n");
        fixture.loop.settle();
        return client;
    };
    auto first = connect_as("192.0.2.1"), second = connect_as("192.0.2.2");
    // Neither counts for the proxy any more.
    auto third = connect_as("192.0.2.2");
    CHECK(fixture.rest(first) == "?  reset");
    auto fourth = connect_as("192.0.2.4");
    CHECK(fixture.rest(second) == "?  reset");
    CHECK(try_read(third) == "? ");
    CHECK(try_read(fourth) == "? ");
}

TEST_CASE("unadmitted: clients that are held take places as well")
{
    auto setup = asking(2);
    setup.access.emplace();
    setup.access->rules.add(false, Network(asio::ip::make_address("127.0.0.2")));
    setup.access->when_denied = WhenDenied::hold;
    setup.access->unadmitted = setup.server.unadmitted;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto held = fixture.connect("127.0.0.2"), also_held = fixture.connect("127.0.0.2");
    auto client = fixture.connect();
    CHECK(fixture.rest(held) == " reset");
    CHECK(try_read(also_held) == "would block");
    log_in(fixture, client);
}

TEST_CASE("unadmitted: clients who need not say who they are do not count")
{
    Setup setup;
    setup.server.unadmitted = std::make_shared<UnadmittedLimit>(1);
    ServerFixture fixture(std::move(setup));
    fixture.backend.starts.hold();
    fixture.start();
    auto one = fixture.connect(), two = fixture.connect();
    fixture.backend.starts.release();
    CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 2; }));
}
