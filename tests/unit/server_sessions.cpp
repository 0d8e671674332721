// SPDX-License-Identifier: MIT
// How sessions begin and go on, and the reason for which each one ends.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <vector>

#include <asio/post.hpp>
#include <doctest/doctest.h>

#include <instancer/authenticator/source_address.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/bridge/hooked_bridge.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;

namespace {

/// Knows one token, of the letter x.
Setup with_token()
{
    Setup setup;
    const std::vector<Token> tokens{Token(std::string(Token::size, 'x'))};
    setup.authenticator = std::make_unique<TokenAuthenticator>(tokens);
    return setup;
}

const std::string greeting = std::string(Token::size, 'x') + "id";

}  // namespace

TEST_CASE("server: a session from the first byte to the last, and what is told of it")
{
    ServerFixture fixture;
    fixture.start();
    auto client = fixture.joined();
    auto& instance = fixture.last_connection();
    fixture.send(client, "question");
    CHECK(client.shutdown_send());
    REQUIRE(fixture.loop.until([&] { return instance.end_received(); }));
    CHECK(instance.received() == "question");
    instance.send("the ");
    instance.send("answer");
    instance.shutdown_send();
    CHECK(fixture.rest(client) == "the answer");

    const auto summary = fixture.summary();
    CHECK(summary.end == SessionEnd::completed);
    CHECK(summary.id == 1);
    CHECK(summary.service == "service");
    CHECK(summary.instance == "fake 1");
    CHECK(summary.owner == fixture.instance(1).identity()->owner().hex());
    CHECK(summary.client.to_string().starts_with("127.0.0.1:"));
    CHECK(summary.bytes_up == 8);
    CHECK(summary.bytes_down == 10);
    CHECK(summary.duration > 0s);
    REQUIRE(fixture.loop.until([&] { return fixture.backend.running() == 0; }));
    auto lines = fixture.events.lines();
    CHECK(lines.at(0).starts_with("listening 127.0.0.1:"));
    lines.erase(lines.begin());
    const std::vector<std::string> expected{"session 1", "started fake 1", "session 1: completed",
                                            "ended fake 1: unused"};
    CHECK(lines == expected);
    CHECK(fixture.events.instances().at(0).bytes_up == 8);
    CHECK(fixture.events.instances().at(0).bytes_down == 10);
}

TEST_CASE("server: everybody is somebody else, unless the authenticator says otherwise")
{
    Setup setup;
    setup.pool.linger = 1h;
    std::size_t instances = 2;
    SUBCASE("open") {}
    SUBCASE("source address")
    {
        setup.authenticator = std::make_unique<SourceAddressAuthenticator>();
        instances = 1;
    }
    SUBCASE("source address, but one connection per instance")
    {
        setup.authenticator = std::make_unique<SourceAddressAuthenticator>();
        SUBCASE("as the backend has it") { setup.traits.single_use(true); }
        SUBCASE("as the pool is told") { setup.pool.single_use = true; }
    }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto one = fixture.joined();
    auto two = fixture.joined();
    CHECK(fixture.backend.instances().size() == instances);
    fixture.last_connection().send("for the second");
    CHECK(fixture.loop.run(socket_pair::read_exactly(two, 14)) == "for the second");
    CHECK(try_read(one) == "would block");
    if (instances == 2)
        CHECK(fixture.instance(1).identity()->id() != fixture.instance(2).identity()->id());
}

TEST_CASE("server: what follows the greeting belongs to the instance, what precedes its answer to the protocol")
{
    Setup setup;
    Admission admission{"ann", "id"};
    admission.banner("READY\n");
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(admission, "early ");
    Events nobody;
    std::string shown;
    bool shows = false;
    SUBCASE("without a hook") {}
    SUBCASE("with a hook, which sees it")
    {
        shows = true;
        class Watcher final : public SessionHook {
        public:
            explicit Watcher(std::string& to) : shown_(to) {}
            HookAnswer from_client(std::span<char> data) override
            {
                shown_.append(data.data(), data.size());
                return data;
            }

        private:
            std::string& shown_;
        };
        setup.bridge = std::make_unique<HookedBridge>(
            [&shown](const SessionInfo&) { return std::make_unique<Watcher>(shown); }, nobody);
    }
    SUBCASE("where hooks are for others")
    {
        setup.bridge = std::make_unique<HookedBridge>([](const SessionInfo&) { return nullptr; }, nobody);
    }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.joined();
    fixture.send(client, "bytes");
    auto& instance = fixture.last_connection();
    REQUIRE(fixture.arrives(instance, "early bytes"));
    CHECK(shown == (shows ? "early bytes" : ""));
    instance.send("answer");
    instance.shutdown_send();
    CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == "READY\nanswer");
    CHECK(fixture.summary().bytes_up == 11);
    CHECK(fixture.summary().bytes_down == 6);
}

TEST_CASE("server: a client whose bytes were given back is not handed over to a program, which would miss them")
{
    Setup setup;
    setup.traits.takes_client_socket(true).single_use(true);
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission::unique(), "early ");
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.summary().detail.find("no socket of its own to hand over") != std::string::npos);
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("server: a client that is gone before it can be told that its instance is open has reset, not the instance")
{
    Setup setup;
    setup.pool.linger = 1h;
    Admission admission{"ann", "id"};
    admission.banner("READY\n");
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(admission);
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    fixture.backend.opens.hold();
    auto second = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.opens.waiting() == 1; }));
    second.abort();
    fixture.backend.opens.release();
    CHECK(fixture.end() == SessionEnd::client_reset);
    CHECK(fixture.summary().id == 2);
}

TEST_CASE("server: bytes behind a token reach the instance, the token does not")
{
    ServerFixture fixture(with_token());
    fixture.start();
    auto client = fixture.connect();
    fixture.send(client, greeting + "hello");
    REQUIRE(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
    fixture.loop.settle();
    CHECK(fixture.arrives(fixture.last_connection(), "hello"));
    CHECK(fixture.instance(1).identity()->owner() == Identity("service", std::string(Token::size, 'x'), "id").owner());
}

TEST_CASE("server: a greeting that is wrong ends without a byte and in order")
{
    ServerFixture fixture(with_token());
    fixture.start();
    auto client = fixture.connect();
    SUBCASE("unknown") { fixture.send(client, std::string(130, 'y')); }
    SUBCASE("unknown, and more") { fixture.send(client, std::string(5000, 'y')); }
    SUBCASE("too short")
    {
        fixture.send(client, greeting.substr(0, 129));
        CHECK(client.shutdown_send());
    }
    SUBCASE("nothing") { CHECK(client.shutdown_send()); }
    CHECK(fixture.rest(client) == "");
    CHECK(fixture.end() == SessionEnd::authentication_failed);
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("server: a client that does not say who it is has so much time, and hears nothing")
{
    auto setup = with_token();
    setup.server.auth_timeout = 30ms;
    ServerFixture fixture(std::move(setup));
    const auto begin = std::chrono::steady_clock::now();
    fixture.start();
    auto client = fixture.connect();
    SUBCASE("silent") {}
    SUBCASE("slow") { fixture.send(client, greeting.substr(0, 129)); }
    CHECK(fixture.rest(client) == "");
    CHECK(std::chrono::steady_clock::now() >= begin + 30ms);
    CHECK(fixture.end() == SessionEnd::auth_timeout);
}

TEST_CASE("server: without such a limit it waits")
{
    auto setup = with_token();
    setup.server.auth_timeout = 0s;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.events.sessions().empty());
    fixture.send(client, greeting);
    CHECK(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
}

TEST_CASE("server: a client that leaves before it was served leaves nothing behind")
{
    auto setup = with_token();
    ServerFixture fixture(std::move(setup));
    fixture.backend.starts.hold();
    fixture.start();
    auto client = fixture.connect();
    SUBCASE("while it says who it is")
    {
        fixture.send(client, "xxx");
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_left);
        CHECK(fixture.backend.starts.waiting() == 0);
    }
    SUBCASE("while its instance starts")
    {
        fixture.send(client, greeting);
        REQUIRE(fixture.loop.until([&] { return fixture.backend.starts.waiting() == 1; }));
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_left);
        fixture.backend.starts.release();
        REQUIRE(fixture.loop.until([&] { return !fixture.events.instances().empty(); }));
        CHECK(fixture.events.instances()[0].end == InstanceEnd::abandoned);
    }
    CHECK(fixture.backend.running() == 0);
}

TEST_CASE("server: a half-close while the instance starts is no reason to leave")
{
    ServerFixture fixture;
    fixture.backend.starts.hold();
    fixture.start();
    auto client = fixture.connect();
    fixture.send(client, "question");
    CHECK(client.shutdown_send());
    REQUIRE(fixture.loop.until([&] { return fixture.backend.starts.waiting() == 1; }));
    fixture.loop.settle();
    CHECK(fixture.events.sessions().empty());
    fixture.backend.starts.release();
    REQUIRE(fixture.loop.until([&] { return !fixture.backend.instances().empty(); }));
    fixture.loop.settle();
    auto& instance = fixture.last_connection();
    REQUIRE(fixture.arrives(instance, "question"));
    instance.send("answer");
    instance.shutdown_send();
    CHECK(fixture.rest(client) == "answer");
    CHECK(fixture.end() == SessionEnd::completed);
}

TEST_CASE("server: either side resets, and the other one sees it")
{
    ServerFixture fixture;
    fixture.start();
    auto client = fixture.joined();
    auto& instance = fixture.last_connection();
    SUBCASE("client")
    {
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_reset);
        CHECK(instance.reset_received());
    }
    SUBCASE("instance")
    {
        instance.send("answer");
        fixture.loop.settle();
        instance.reset();
        CHECK(fixture.rest(client) == "answer reset");
        CHECK(fixture.end() == SessionEnd::instance_reset);
    }
    SUBCASE("instance, because it ended")
    {
        fixture.backend.stops.hold();
        instance.send("answer");
        fixture.loop.settle();
        instance.reset();
        fixture.instance(1).exit();
        CHECK(fixture.rest(client) == "answer reset");
        REQUIRE(fixture.loop.until([&] { return !fixture.events.sessions().empty(); }));
    }
}

TEST_CASE("server: the end of an instance is the end of its clients, after its last words")
{
    ServerFixture fixture;
    fixture.start();
    auto client = fixture.joined();
    fixture.last_connection().send("last words");
    fixture.instance(1).exit();
    CHECK(fixture.rest(client) == "last words");
    CHECK(fixture.end() == SessionEnd::completed);
    REQUIRE(fixture.loop.until([&] { return fixture.backend.running() == 0; }));
    CHECK(fixture.events.instances().at(0).end == InstanceEnd::exited);
}

TEST_CASE("server: a client that takes none of its instance's last words does not stay for them")
{
    Setup setup;
    setup.server.delivery_timeout = 50ms;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    const auto client = fixture.joined();
    // More than the system keeps for a client that does not read.
    fixture.last_connection().send(std::string(32'000'000, 'x'));
    fixture.instance(1).exit();
    CHECK(fixture.end() == SessionEnd::idle);
}

TEST_CASE(
    "server: a client whose instance makes room for another one before it is ready is told apart from a refused one")
{
    Setup setup;
    setup.pool.max_instances = 1;
    setup.pool.when_full = WhenFull::cull_oldest;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    fixture.backend.starts.hold();
    auto client = fixture.connect();
    auto other = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::culled);
}

TEST_CASE("server: an instance that is taken away resets its clients")
{
    Setup setup;
    setup.pool.max_instances = 1;
    setup.pool.when_full = WhenFull::cull_oldest;
    SessionEnd reason = SessionEnd::culled;
    SUBCASE("culled") {}
    SUBCASE("expired")
    {
        reason = SessionEnd::expired;
        setup.pool.ttl = 20ms;
    }
    SUBCASE("idle")
    {
        reason = SessionEnd::idle;
        setup.pool.idle = 20ms;
    }
    SUBCASE("reset") { reason = SessionEnd::reset; }
    SUBCASE("stopped") { reason = SessionEnd::stopped; }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.joined();
    const auto owner = fixture.instance(1).identity()->owner();
    Stream other;
    if (reason == SessionEnd::culled)
        other = fixture.connect();
    if (reason == SessionEnd::reset)
        fixture.pool.reset_owner(owner);
    if (reason == SessionEnd::stopped)
        fixture.server.stop();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == reason);
    if (other)
        CHECK(fixture.loop.until([&] { return fixture.backend.instances().size() == 2; }));
}

TEST_CASE("server: a crowd that is turned away at once leaves those who are served their turn")
{
    Setup setup;
    setup.access.emplace().max_connections = 1;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    const auto first = fixture.joined();
    constexpr std::size_t crowd = 200;
    std::vector<UniqueFd> clients;
    while (clients.size() < crowd)
        clients.push_back(fixture.socket_to_server());
    std::size_t seen = 0, most_between_turns = 0;
    std::function<void()> turn = [&] {
        const auto now = fixture.events.sessions().size();
        most_between_turns = std::max(most_between_turns, now - seen);
        seen = now;
        if (seen < crowd)
            asio::post(fixture.workers.control(), turn);
    };
    turn();
    REQUIRE(fixture.loop.until([&] { return seen == crowd; }));
    CHECK(most_between_turns < crowd / 4);
}
