// SPDX-License-Identifier: MIT
// Clients that are told why they wait or are refused, where a server does so.
#include <doctest/doctest.h>

#include <instancer/authenticator/prompt.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;

namespace {

Setup telling()
{
    Setup setup;
    setup.server.tell = std::make_shared<const ClientTexts>();
    setup.pool.max_instances = 1;
    return setup;
}

/// Everybody is the same owner, each time with another identifier.
class Ann final : public Authenticator {
    asio::awaitable<Result<Admission>> do_authenticate(Stream&, const ClientInfo&) override
    {
        co_return Admission("ann", std::to_string(++clients_));
    }

    int clients_ = 0;
};

}  // namespace

TEST_CASE("tell: a client that finds everything taken is told so, and then its connection ends in order")
{
    ServerFixture fixture(telling());
    fixture.start();
    auto first = fixture.joined();
    auto client = fixture.connect();
    SUBCASE("") {}
    SUBCASE("also when it goes on sending what nobody will read")
    {
        REQUIRE(fixture.loop.until([&] { return !fixture.events.sessions().empty(); }));
        for (int i = 0; i < 50; ++i) {
            fixture.send(client, std::string(500, 'x'));
            fixture.loop.settle();
        }
    }
    CHECK(fixture.rest(client) == "all places are taken; come back later\n");
    CHECK(fixture.end() == SessionEnd::limit_reached);
    client.close();
}

TEST_CASE("tell: a client that has as many instances as one may have is told that, and not that all are taken")
{
    auto setup = telling();
    setup.pool.max_instances = 2;
    setup.pool.max_per_owner = 1;
    setup.authenticator = std::make_unique<Ann>();
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == "you have as many instances as you may; come back when one has ended\n");
    CHECK(fixture.end() == SessionEnd::limit_reached);
}

TEST_CASE("tell: clients hear their place in the queue, as it changes")
{
    auto setup = telling();
    setup.pool.when_full = WhenFull::queue;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto served = fixture.joined();
    auto one = fixture.connect();
    CHECK(fixture.loop.until([&] { return try_read(one) == "queue: 1 of 1\n"; }));
    auto two = fixture.connect(), three = fixture.connect();
    CHECK(fixture.loop.until([&] { return try_read(three) == "queue: 3 of 3\n"; }));
    CHECK(try_read(two) == "queue: 2 of 3\n");
    CHECK(try_read(one) == "queue: 1 of 3\n");
    two.abort();
    CHECK(fixture.loop.until([&] { return try_read(three) == "queue: 2 of 2\n"; }));
    CHECK(try_read(one) == "queue: 1 of 2\n");
    served.abort();
    CHECK(fixture.loop.until([&] { return try_read(three) == "queue: 1 of 1\n"; }));
    // What the instance says follows whole lines.
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 2; }));
    fixture.last_connection().send("welcome");
    CHECK(fixture.loop.until([&] { return try_read(one) == "welcome"; }));
}

TEST_CASE("tell: each reason has its words, and an empty text is not told")
{
    auto setup = telling();
    auto texts = std::make_shared<ClientTexts>();
    std::optional<Error> start_error;
    std::string said;
    bool reset = false;
    SUBCASE("waited too long")
    {
        setup.pool.when_full = WhenFull::queue;
        setup.pool.queue_timeout = 20ms;
        texts->queued.clear();
        said = "no place came free in time; come back later\n";
    }
    SUBCASE("the start failed")
    {
        start_error = Error(Errc::start_failed, "a secret of the operator");
        said = "no instance can be started; come back in a while\n";
    }
    SUBCASE("a text of the operator's own")
    {
        texts->full = "closed\r\nfor lunch";
        said = "closed\r\nfor lunch\n";
    }
    SUBCASE("an empty one")
    {
        texts->full.clear();
        reset = true;
    }
    setup.server.tell = texts;
    ServerFixture fixture(std::move(setup));
    fixture.backend.start_error = start_error;
    fixture.start();
    Stream first;
    if (!start_error)
        first = fixture.joined();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == said + (reset ? " reset" : ""));
    client.close();
}

TEST_CASE("tell: a client that is not admitted is told, one that is denied is not")
{
    auto setup = telling();
    setup.authenticator = std::make_unique<PromptAuthenticator>(std::vector<std::string>{"secret"}, "? ");
    setup.server.auth_timeout = 50ms;
    setup.access.emplace();
    setup.access->rules.add(false, Network(asio::ip::make_address("127.0.0.2")));
    setup.access->max_per_source = 2;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto wrong = fixture.connect();
    fixture.send(wrong, "guess\n");
    CHECK(fixture.rest(wrong) == "? unknown token\nyou are not let in: that was wrong\n");
    auto silent = fixture.connect();
    CHECK(fixture.rest(silent) == "? you are not let in: nothing came in time\n");
    auto denied = fixture.connect("127.0.0.2");
    CHECK(fixture.rest(denied) == " reset");
    auto one = fixture.connect(), two = fixture.connect(), three = fixture.connect();
    CHECK(fixture.rest(three) == "all places are taken; come back later\n");
}

TEST_CASE("tell: a session is warned before the time of its instance is over, between the bytes that pass")
{
    Setup setup;
    setup.pool.ttl = 700ms;
    setup.pool.warn_before = 600ms;
    setup.server.warning = "it ends in {wait}";
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.joined();
    fixture.last_connection().send("before ");
    CHECK(fixture.loop.until([&] { return try_read(client) == "before "; }));
    CHECK(fixture.loop.until([&] { return try_read(client) == "it ends in 1s\n"; }));
    fixture.last_connection().send("after");
    CHECK(fixture.rest(client) == "after reset");
    CHECK(fixture.end() == SessionEnd::expired);
}

TEST_CASE("tell: a session is warned before it ends by limits of its own, or because the server ends")
{
    Setup setup;
    setup.server.warning = "it ends in {wait}";
    setup.server.idle_warning = "silent; it ends in {wait}";
    setup.server.warn_before = 500ms;
    std::string line = "it ends in 1s\n";
    bool drains = false;
    SUBCASE("session timeout") { setup.server.session_timeout = 600ms; }
    SUBCASE("silence of the session")
    {
        setup.server.session_idle = 600ms;
        line = "silent; " + line;
    }
    SUBCASE("silence of its instance")
    {
        setup.pool.idle = 600ms;
        setup.pool.warn_before = 500ms;
        line = "silent; " + line;
    }
    SUBCASE("a drain") { drains = true; }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.joined();
    if (drains)
        fixture.server.drain(600ms);
    CHECK(fixture.rest(client) == line + " reset");
}

TEST_CASE("tell: how long it takes is said in whole units, and never as less than it is")
{
    CHECK(line_with_wait("it ends in {wait}", 0s) == "it ends in a moment\n");
    CHECK(line_with_wait("{wait}", -3s) == "a moment\n");
    CHECK(line_with_wait("in {wait} or {wait}", 1ms) == "in 1s or 1s\n");
    CHECK(line_with_wait("{wait}", 119500ms) == "120s\n");
    CHECK(line_with_wait("{wait}", 121s) == "3m\n");
    CHECK(line_with_wait("{wait}", 2h + 1s) == "3h\n");
    CHECK(line_with_wait("", 1s) == "");
}
