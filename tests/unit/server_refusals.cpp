// SPDX-License-Identifier: MIT
// Clients that get no instance; instances that get the client's socket; and the end of the server itself.
#include <doctest/doctest.h>

#include "server_fixture.hpp"

using namespace server_fixture;

TEST_CASE("server: a client that gets no instance is reset, whatever the reason")
{
    Setup setup;
    setup.pool.max_instances = 1;
    SessionEnd reason = SessionEnd::limit_reached;
    std::optional<Error> start_error;
    SUBCASE("full") {}
    SUBCASE("waited too long")
    {
        setup.pool.when_full = WhenFull::queue;
        setup.pool.queue_timeout = 20ms;
        reason = SessionEnd::queue_timeout;
    }
    SUBCASE("start failed")
    {
        start_error = Error(Errc::start_failed, "no such program");
        reason = SessionEnd::start_failed;
    }
    SUBCASE("backend away")
    {
        start_error = Error(Errc::backend_unavailable, "no such program");
        reason = SessionEnd::unavailable;
    }
    ServerFixture fixture(std::move(setup));
    fixture.backend.start_error = start_error;
    fixture.start();
    Stream first;
    if (!start_error)
        first = fixture.joined();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == reason);
    CHECK((fixture.summary().detail.find("no such program") != std::string::npos) == start_error.has_value());
}

TEST_CASE("server: a connection that cannot be opened is a failed start for that client")
{
    Setup setup;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission{"ann", "id"});
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    fixture.backend.open_error = Error(Errc::not_ready, "it accepts only once");
    auto second = fixture.connect();
    CHECK(fixture.rest(second) == " reset");
    CHECK(fixture.end() == SessionEnd::start_failed);
    CHECK_FALSE(fixture.instance(1).stopped());
}

TEST_CASE("server: a protocol may demand words for a refusal; they arrive, and then the end")
{
    Setup setup;
    setup.pool.max_instances = 1;
    Admission admission{"ann", "id"};
    admission.on_refusal(
        [](const Error& reason) { return reason == Errc::start_failed ? std::string("Group Full\n") : std::string(); });
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(admission);
    ServerFixture fixture(std::move(setup));
    fixture.backend.starts.hold();
    fixture.backend.start_error = Error(Errc::start_failed);
    fixture.start();
    auto client = fixture.connect();
    SUBCASE("") {}
    SUBCASE("also when the client has sent what nobody will read") { fixture.send(client, std::string(5000, 'x')); }
    fixture.loop.settle();
    fixture.backend.starts.release();
    CHECK(fixture.rest(client) == "Group Full\n");
    CHECK(fixture.end() == SessionEnd::start_failed);
}

TEST_CASE("server: an instance that takes the client's socket speaks to the client itself")
{
    Setup setup;
    setup.traits.takes_client_socket(true).single_use(true);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
    fixture.loop.settle();
    auto& instance = fixture.instance(1);
    REQUIRE(::send(instance.client_socket().get(), "hello", 5, MSG_NOSIGNAL) == 5);
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 5)) == "hello");
    CHECK(fixture.backend.times_opened() == 0);
    CHECK(fixture.events.sessions().empty());
    instance.exit();
    CHECK(fixture.rest(client) == "");
    CHECK(fixture.end() == SessionEnd::instance_ended);
}

TEST_CASE("server: when the backend cannot work at all, nothing is served")
{
    ServerFixture fixture;
    fixture.backend.prepare_error = Error(Errc::bad_request, "no such image");
    fixture.start();
    REQUIRE(fixture.running->done());
    REQUIRE_FALSE(fixture.running->value());
    CHECK(fixture.running->value().error().message().find("no such image") != std::string::npos);
    CHECK(fixture.events.lines().empty());
}

TEST_CASE("server: drain lets sessions finish and takes nobody in")
{
    ServerFixture fixture;
    fixture.start();
    auto client = fixture.joined();
    auto& instance = fixture.last_connection();
    SUBCASE("without a limit")
    {
        fixture.server.drain(0s);
        fixture.loop.settle();
        CHECK_FALSE(fixture.running->done());
        CHECK(fixture.server.sessions() == 1);
        instance.send("answer");
        instance.shutdown_send();
        CHECK(client.shutdown_send());
        CHECK(fixture.rest(client) == "answer");
        CHECK(fixture.end() == SessionEnd::completed);
    }
    SUBCASE("up to a limit")
    {
        const auto begin = std::chrono::steady_clock::now();
        fixture.server.drain(30ms);
        CHECK(fixture.rest(client) == " reset");
        CHECK(std::chrono::steady_clock::now() >= begin + 30ms);
        CHECK(fixture.end() == SessionEnd::stopped);
    }
    REQUIRE(fixture.loop.until([&] { return fixture.running->done(); }));
    CHECK(fixture.running->value());
    CHECK(fixture.backend.running() == 0);
}

TEST_CASE("server: stop ends sessions in every stage, each for one reason, and waits until all is gone")
{
    Setup setup;
    setup.pool.max_instances = 2;
    setup.pool.when_full = WhenFull::queue;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto joined = fixture.joined();
    fixture.backend.starts.hold();
    auto starting = fixture.connect();
    auto queued = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.server.sessions() == 3; }));
    fixture.loop.settle();
    fixture.backend.stops.hold();
    fixture.server.stop();
    CHECK(fixture.loop.until([&] { return fixture.events.sessions().size() == 3; }));
    for (const auto& session : fixture.events.sessions())
        CHECK(session.end == SessionEnd::stopped);
    for (Stream* client : {&joined, &starting, &queued})
        CHECK(fixture.rest(*client) == " reset");
    fixture.loop.settle();
    CHECK_FALSE(fixture.running->done());
    fixture.backend.starts.release();
    fixture.backend.stops.release();
    REQUIRE(fixture.loop.until([&] { return fixture.running->done(); }));
    CHECK(fixture.backend.running() == 0);
    fixture.server.stop();
}

TEST_CASE("server: stopped while it prepares, it serves nobody and leaves nothing")
{
    ServerFixture fixture;
    const auto left = fixture.backend.leave_behind(Identity("service", "ann", ""), 10s);
    fixture.backend.prepares.hold();
    fixture.start();
    fixture.server.stop();
    fixture.backend.prepares.release();
    REQUIRE(fixture.loop.until([&] { return fixture.running->done(); }));
    CHECK(left->stopped());
    CHECK(fixture.events.count_beginning("listening") == 0);
}

TEST_CASE("server: an authenticator that throws costs one client, not the server")
{
    class Throwing final : public Authenticator {
    public:
        explicit Throwing(bool sensibly) : sensibly_(sensibly) {}

    private:
        asio::awaitable<Result<Admission>> do_authenticate(Stream&, const ClientInfo&) override
        {
            if (!sensibly_)
                throw 42;
            throw std::runtime_error("broken authenticator");
            co_return Admission::unique();
        }

        bool sensibly_;
    };
    bool sensibly = true;
    std::string text = "broken authenticator";
    SUBCASE("an exception of the usual kind") {}
    SUBCASE("anything else")
    {
        sensibly = false;
        text = "an exception of no known kind";
    }
    Setup setup;
    setup.authenticator = std::make_unique<Throwing>(sensibly);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::failed);
    CHECK(fixture.summary().detail.find(text) != std::string::npos);
    auto again = fixture.connect();
    CHECK(fixture.rest(again) == " reset");
}

TEST_CASE("server: an observer that throws when a session begins costs one client, not the server")
{
    ServerFixture fixture;
    fixture.start();
    fixture.events.fails_at_sessions = true;
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::failed);
    CHECK(fixture.summary().detail == "broken observer");
    fixture.events.fails_at_sessions = false;
    auto again = fixture.joined();
    CHECK(fixture.server.sessions() == 1);
}
