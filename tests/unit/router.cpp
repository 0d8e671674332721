// SPDX-License-Identifier: MIT
// One listener for two servers: a client gets to the one that its answer names.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/read_line.hpp>
#include <instancer/router.hpp>

#include "server_fixture.hpp"
#include "socket_address.hpp"

using namespace server_fixture;

namespace {

/// Asks for the team, and remembers the answer.
class AskTeam final : public AdmissionStage {
public:
    AskTeam() : AdmissionStage("team") {}

private:
    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override
    {
        const auto team = co_await read_line(client, 64);
        if (!team)
            co_return fail(team.error());
        context.attribute("team", *team);
        co_return Result<void>();
    }
};

/// Who names a team is its owner.
class AdmitTeam final : public AdmissionStage {
public:
    AdmitTeam() : AdmissionStage("admit team") {}

private:
    bool do_waits() const noexcept override { return false; }

    asio::awaitable<Result<void>> do_run(Stream&, AdmissionContext& context) override
    {
        context.admit(Admission(std::string(context.attribute("team")), ""));
        co_return Result<void>();
    }
};

ServerOptions admitting(const std::string& name)
{
    ServerOptions options(name);
    options.stages.push_back(std::make_shared<AdmitTeam>());
    return options;
}

PoolOptions ending_with_the_client()
{
    PoolOptions options;
    options.linger = 0s;
    return options;
}

/// A server of a router, named like its team.
class TeamServer {
public:
    TeamServer(Workers& workers, Router& router, const std::string& team, EventLog& events)
        : backend(workers.control(), BackendTraits()),
          pool(workers.control(), team, ending_with_the_client(), backend, events),
          server(workers, admitting(team), router.acceptors(team), std::make_unique<OpenAuthenticator>(), pool, bridge,
                 events)
    {
    }

    FakeBackend backend;
    InstancePool pool;
    PairBridge bridge;
    Server server;
};

ServerOptions asking()
{
    ServerOptions options("router");
    options.auth_timeout = 0s;
    options.stages.push_back(std::make_shared<AskTeam>());
    return options;
}

class RouterFixture {
public:
    explicit RouterFixture(const ServerOptions& options = asking(), const AccessControlOptions& access = {})
        : RouterFixture(options, access, true)
    {
    }

    /// Its servers do not run before `serve`.
    static RouterFixture idle(std::shared_ptr<UnadmittedLimit> unadmitted = nullptr)
    {
        auto options = asking();
        options.unadmitted = std::move(unadmitted);
        return RouterFixture(options, {}, false);
    }

    ~RouterFixture()
    {
        router->stop();
        red->server.stop();
        blue->server.stop();
        for (auto& task : tasks_)
            CHECK(loop.until([&] { return task.done(); }));
        CHECK(router->clients() == 0);
        CHECK(events.count_beginning("session ") == 2 * events.sessions().size());
    }

    void serve()
    {
        tasks_.push_back(loop.start(red->server.run()));
        tasks_.push_back(loop.start(blue->server.run()));
    }

    Stream connect()
    {
        auto stream = make_socket_stream(loop.executor(), daemon_test::connect_to(address_));
        loop.settle();
        return stream;
    }

    /// A client that has answered.
    Stream connect(const std::string& team)
    {
        auto client = connect();
        loop.run(client.write_all(team + "\n"));
        loop.settle();
        return client;
    }

    std::string rest(Stream& client)
    {
        bool reset = false;
        auto all = loop.run(socket_pair::read_all(client, &reset));
        return all + (reset ? " reset" : "");
    }

    SessionSummary summary()
    {
        REQUIRE(loop.until([&] { return !events.sessions().empty(); }));
        return events.sessions().front();
    }

    Workers workers{1};
    Loop loop{workers.context(0)};
    EventLog events;
    std::unique_ptr<Router> router;
    std::unique_ptr<TeamServer> red, blue;

private:
    RouterFixture(const ServerOptions& options, const AccessControlOptions& access, bool serving)
    {
        std::vector<std::unique_ptr<Acceptor>> acceptors;
        auto listener = std::move(*listen_tcp(workers.control(), {asio::ip::address_v4::loopback(), 0}));
        acceptors.push_back(std::make_unique<ControlledAcceptor>(
            std::move(listener), std::make_shared<AccessControl>(workers.control(), access)));
        address_ = acceptors.front()->address();
        auto by_team = [](const AdmissionContext& context) { return std::string(context.attribute("team")); };
        router = std::make_unique<Router>(workers, options, std::move(acceptors), by_team, events);
        red = std::make_unique<TeamServer>(workers, *router, "red", events);
        blue = std::make_unique<TeamServer>(workers, *router, "blue", events);
        tasks_.push_back(loop.start(with_result(router->run())));
        if (serving)
            serve();
        loop.settle();
    }

    static asio::awaitable<Result<void>> with_result(asio::awaitable<void> coroutine)
    {
        co_await std::move(coroutine);
        co_return Result<void>();
    }

    std::string address_;
    std::vector<Task<Result<void>>> tasks_;
};

}  // namespace

TEST_CASE("router: each client gets to the server that its answer names, with what the stages have learned")
{
    RouterFixture fixture;
    auto red = fixture.connect("red"), blue = fixture.connect("blue");
    REQUIRE(fixture.loop.until([&] { return fixture.red->backend.times_opened() == 1; }));
    REQUIRE(fixture.loop.until([&] { return fixture.blue->backend.times_opened() == 1; }));
    fixture.loop.settle();
    auto& instance = *fixture.blue->backend.instances().at(0);
    CHECK(instance.identity()->owner() == Identity("blue", "blue", "").owner());
    auto peer = instance.connections().back();
    fixture.loop.run(blue.write_all("question"));
    CHECK(fixture.loop.until([&] { return peer.received() == "question"; }));
    peer.send("answer");
    CHECK(fixture.loop.run(socket_pair::read_exactly(blue, 6)) == "answer");
    CHECK(fixture.red->server.sessions() == 1);
    CHECK(fixture.blue->server.sessions() == 1);
    CHECK(fixture.router->clients() == 0);
}

TEST_CASE("router: a proxy says once who its client is, and the limit of connections holds while it is served")
{
    AccessControlOptions access;
    access.proxies.add(true, std::nullopt);
    access.max_connections = 1;
    RouterFixture fixture(asking(), access);
    auto client = fixture.connect("PROXY TCP4 192.0.2.7 10.0.0.1 4000 443\r\nred");
    REQUIRE(fixture.loop.until([&] { return fixture.red->backend.times_opened() == 1; }));
    auto other = fixture.connect();
    CHECK(fixture.rest(other) == " reset");
    CHECK(fixture.summary().end == SessionEnd::limit_reached);
    client.abort();
    REQUIRE(fixture.loop.until([&] { return fixture.events.sessions().size() == 2; }));
    CHECK(fixture.events.sessions().back().service == "red");
    CHECK(fixture.events.sessions().back().client.to_string() == "192.0.2.7:4000");
}

TEST_CASE("router: a client for whom there is no server is reset, and reported by the router")
{
    RouterFixture fixture;
    auto reason = SessionEnd::access_denied;
    std::string detail = "no server is called \"green\"", team = "green";
    SUBCASE("no such server") {}
    SUBCASE("a server that takes nobody in any more")
    {
        fixture.red->server.drain(0s);
        reason = SessionEnd::stopped;
        team = "red";
        detail = "the server \"red\" takes nobody in any more";
    }
    auto client = fixture.connect(team);
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.summary().service == "router");
    CHECK(fixture.summary().end == reason);
    CHECK(fixture.summary().detail == detail);
    CHECK(fixture.summary().client.to_string().starts_with("127.0.0.1:"));
}

TEST_CASE("router: a client that does not answer in time hears nothing")
{
    auto options = asking();
    options.auth_timeout = 30ms;
    RouterFixture fixture(options);
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == "");
    CHECK(fixture.summary().end == SessionEnd::auth_timeout);
    CHECK(fixture.summary().detail == "team: the client took too long");
}

TEST_CASE("router: it stops while a client is asked, and the servers go on")
{
    RouterFixture fixture;
    auto blue = fixture.connect("blue");
    REQUIRE(fixture.loop.until([&] { return fixture.blue->backend.times_opened() == 1; }));
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.router->clients() == 1; }));
    fixture.router->stop();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.summary().end == SessionEnd::stopped);
    CHECK(try_read(blue) == "would block");
    CHECK(fixture.blue->server.sessions() == 1);
}

TEST_CASE("router: a client counts as unadmitted until its server takes it in")
{
    const auto unadmitted = std::make_shared<UnadmittedLimit>(9);
    auto fixture = RouterFixture::idle(unadmitted);
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return unadmitted->count() == 1; }));
    fixture.loop.run(client.write_all("red\n"));
    fixture.loop.settle();
    auto other = fixture.connect("red");
    CHECK(unadmitted->count() == 2);
    CHECK(fixture.router->clients() == 2);
    fixture.serve();
    REQUIRE(fixture.loop.until([&] { return fixture.red->backend.times_opened() == 2; }));
    CHECK(unadmitted->count() == 0);
    CHECK(fixture.router->clients() == 0);
    CHECK(fixture.red->server.sessions() == 2);
}

TEST_CASE("router: a client makes room for a newcomer, be it asked or waiting for a server that does not run")
{
    auto fixture = RouterFixture::idle(std::make_shared<UnadmittedLimit>(1));
    Stream client;
    SUBCASE("asked") { client = fixture.connect(); }
    SUBCASE("waiting") { client = fixture.connect("red"); }
    auto newcomer = fixture.connect("red");
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.summary().end == SessionEnd::displaced);
    CHECK(fixture.summary().service == "router");
    fixture.serve();
    CHECK(fixture.loop.until([&] { return fixture.red->backend.times_opened() == 1; }));
}

TEST_CASE("router: a client that leaves while it waits for its server is forgotten")
{
    auto fixture = RouterFixture::idle();
    auto client = fixture.connect("red"), stays = fixture.connect("red");
    REQUIRE(fixture.loop.until([&] { return fixture.router->clients() == 2; }));
    client.abort();
    CHECK(fixture.summary().end == SessionEnd::client_left);
    CHECK(fixture.summary().detail == "it waited for the server \"red\"");
    CHECK(fixture.router->clients() == 1);
    fixture.serve();
    CHECK(fixture.loop.until([&] { return fixture.red->backend.times_opened() == 1; }));
}

TEST_CASE("router: clients that wait for a server that does not run are reset when the router or the server stops")
{
    auto fixture = RouterFixture::idle();
    auto red = fixture.connect("red"), blue = fixture.connect("blue");
    REQUIRE(fixture.loop.until([&] { return fixture.router->clients() == 2; }));
    SUBCASE("the router")
    {
        fixture.router->stop();
        CHECK(fixture.rest(blue) == " reset");
        CHECK(fixture.router->clients() == 0);
    }
    SUBCASE("the server")
    {
        fixture.red->server.stop();
        CHECK(try_read(blue) == "would block");
    }
    CHECK(fixture.rest(red) == " reset");
    CHECK(fixture.summary().end == SessionEnd::stopped);
}
