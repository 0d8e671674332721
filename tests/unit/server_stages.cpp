// SPDX-License-Identifier: MIT
// Stages of admission that somebody else has written: what they learn, and how they end clients.
#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/stage.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/authenticator/prompt.hpp>
#include <instancer/detail/server/admission_sequence.hpp>
#include <instancer/read_line.hpp>
#include <instancer/test/fake_stream.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;
using namespace std::string_literals;
using instancer::AsyncEvent;
using instancer::detail::AdmissionSequence;

namespace {

/// Asks for the team, and remembers the answer.
class AskTeam final : public AdmissionStage {
public:
    explicit AskTeam(Duration deadline = 0s, std::shared_ptr<PlaceBudget> budget = nullptr)
        : AdmissionStage("team", deadline, std::move(budget))
    {
    }

private:
    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override
    {
        if (const auto asked = co_await client.write_all("team? "); !asked)
            co_return fail(asked.error());
        const auto team = co_await read_line(client, 64);
        if (!team)
            co_return fail(team.error());
        context.attribute("team", *team);
        co_return Result<void>();
    }
};

/// Does at once what the test says.
class Scripted final : public AdmissionStage {
public:
    using Script = std::function<Result<void>(AdmissionContext&)>;

    Scripted(std::string name, Script script) : AdmissionStage(std::move(name)), script_(std::move(script)) {}

private:
    bool do_waits() const noexcept override { return false; }

    asio::awaitable<Result<void>> do_run(Stream&, AdmissionContext& context) override { co_return script_(context); }

    Script script_;
};

/// Takes its time, and cares for no cancellation.
class Slow final : public AdmissionStage {
public:
    Slow(Duration time, Duration deadline) : AdmissionStage("slow", deadline), time_(time) {}

private:
    asio::awaitable<Result<void>> do_run(Stream&, AdmissionContext&) override
    {
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer timer(executor, time_);
        co_await timer.async_wait(instancer::as_result);
        co_return Result<void>();
    }

    Duration time_;
};

/// Changes the case of letters, both ways.
class CaseStream final : public Stream::Impl {
public:
    explicit CaseStream(Stream inner) : inner_(std::move(inner)) {}

    asio::any_io_executor get_executor() override { return inner_.get_executor(); }

    Result<std::size_t> try_read(std::span<std::byte> buffer) override
    {
        const auto count = inner_.try_read(buffer);
        if (count)
            for (auto& byte : buffer.first(*count))
                byte = changed(byte);
        return count;
    }

    Result<std::size_t> try_write(std::span<const std::byte> data) override
    {
        std::vector<std::byte> text(data.begin(), data.end());
        std::transform(text.begin(), text.end(), text.begin(), changed);
        return inner_.try_write(text);
    }

    asio::awaitable<Result<void>> wait(Readiness what) override { return inner_.wait(what); }
    Result<void> shutdown_send() override { return inner_.shutdown_send(); }
    void abort() noexcept override { inner_.abort(); }
    void close() noexcept override { inner_.close(); }
    Result<void> rebind(const asio::any_io_executor& executor) override { return inner_.rebind(executor); }

private:
    static std::byte changed(std::byte byte) noexcept { return byte ^ std::byte(0x20); }

    Stream inner_;
};

class ChangeCase final : public AdmissionStage {
public:
    ChangeCase() : AdmissionStage("case") {}

private:
    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext&) override
    {
        client = Stream(std::make_unique<CaseStream>(std::move(client)));
        co_return Result<void>();
    }
};

Setup with_stages(std::vector<std::shared_ptr<AdmissionStage>> stages)
{
    Setup setup;
    setup.server.stages = std::move(stages);
    return setup;
}

/// Counts the clients that pass the stage between their authentication and their instance.
class Passed {
public:
    std::shared_ptr<AdmissionStage> stage(const char* name, Result<void> answer = {})
    {
        return std::make_shared<Scripted>(name, [this, answer](AdmissionContext& context) {
            CHECK(context.admission());
            ++count;
            return answer;
        });
    }

    int count = 0;
};

/// Everybody is the same owner, who has an instance for an hour.
Setup shared_instance()
{
    Setup setup;
    setup.pool.linger = 1h;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("ann", ""));
    return setup;
}

/// The team that was named owns the instance.
std::shared_ptr<AdmissionStage> admit_team()
{
    return std::make_shared<Scripted>("admit team", [](AdmissionContext& context) {
        context.admit(Admission(std::string(context.attribute("team")), ""));
        return Result<void>();
    });
}

bool asked(ServerFixture& fixture, Stream& client)
{
    return fixture.loop.run(socket_pair::read_exactly(client, 6)) == "team? ";
}

}  // namespace

TEST_CASE("stages: one asks and learns an attribute, by which another one says who the client is")
{
    auto setup = with_stages({std::make_shared<AskTeam>(), admit_team()});
    setup.pool.linger = 1h;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("nobody asks it", ""));
    ServerFixture fixture(std::move(setup));
    fixture.start();
    std::vector<Stream> clients;
    for (const char* team : {"red\n", "blue\n", "red\n"}) {
        clients.push_back(fixture.connect());
        REQUIRE(asked(fixture, clients.back()));
        const auto before = fixture.backend.times_opened();
        fixture.send(clients.back(), team);
        REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == before + 1; }));
    }
    REQUIRE(fixture.backend.instances().size() == 2);
    CHECK(fixture.instance(1).identity()->owner() == Identity("service", "red", "").owner());
    CHECK(fixture.instance(2).identity()->owner() == Identity("service", "blue", "").owner());
}

TEST_CASE("stages: a client passes them in order, and its authentication comes last")
{
    std::vector<std::string> passed;
    const auto noting = [&passed](const char* name) {
        return std::make_shared<Scripted>(name, [&passed, name](AdmissionContext& context) {
            CHECK_FALSE(context.admission());
            passed.emplace_back(name);
            return Result<void>();
        });
    };
    auto setup = with_stages({noting("one"), noting("two")});
    setup.authenticator = std::make_unique<PromptAuthenticator>(std::vector<std::string>{"secret"}, "? ");
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 2)) == "? ");
    CHECK(passed == std::vector<std::string>{"one", "two"});
    fixture.send(client, "secret\n");
    CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
}

TEST_CASE("stages: a refusal ends the client as its error says, and the log names the stage")
{
    Error error(Errc::rejected, "no tickets are left");
    std::string client_sees, detail = "tickets: no tickets are left";
    auto reason = SessionEnd::authentication_failed;
    SUBCASE("rejected") {}
    SUBCASE("denied")
    {
        error = Error(Errc::denied, "no tickets are left");
        reason = SessionEnd::access_denied;
        client_sees = " reset";
    }
    SUBCASE("full")
    {
        error = Error(Errc::full);
        reason = SessionEnd::limit_reached;
        client_sees = " reset";
        detail = "tickets: " + error.message();
    }
    SUBCASE("what no client brings about")
    {
        error = Error(Errc::not_supported, "its stream cannot move");
        reason = SessionEnd::failed;
        client_sees = " reset";
        detail = "tickets: its stream cannot move";
    }
    SUBCASE("what the system reports")
    {
        error = Error(std::error_code(asio::error::connection_reset));
        reason = SessionEnd::client_left;
        client_sees = " reset";
        detail = "tickets: " + error.message();
    }
    ServerFixture fixture(with_stages(
        {std::make_shared<Scripted>("tickets", [&error](AdmissionContext&) -> Result<void> { return fail(error); })}));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == client_sees);
    CHECK(fixture.end() == reason);
    CHECK(fixture.summary().detail == detail);
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("stages: one that throws costs one client")
{
    auto fails = [](AdmissionContext&) -> Result<void> { throw std::runtime_error("broken stage"); };
    ServerFixture fixture(with_stages({std::make_shared<Scripted>("broken", fails)}));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::failed);
    CHECK(fixture.summary().detail == "broken stage");
}

TEST_CASE("stages: a client that is silent has as long as the stage says, or else as long as all of them have")
{
    Setup setup;
    SUBCASE("a deadline of its own")
    {
        setup = with_stages({std::make_shared<AskTeam>(30ms)});
        setup.server.auth_timeout = 1h;
    }
    SUBCASE("its own, where all have no limit")
    {
        setup = with_stages({std::make_shared<AskTeam>(30ms)});
        setup.server.auth_timeout = 0s;
    }
    SUBCASE("that of all")
    {
        setup = with_stages({std::make_shared<AskTeam>()});
        setup.server.auth_timeout = 30ms;
    }
    ServerFixture fixture(std::move(setup));
    fixture.start();
    const auto begin = std::chrono::steady_clock::now();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == "team? ");
    CHECK(std::chrono::steady_clock::now() >= begin + 30ms);
    CHECK(fixture.end() == SessionEnd::auth_timeout);
    CHECK(fixture.summary().detail == "team: the client took too long");
}

TEST_CASE("stages: those without a deadline share the time of all, and one that has its own takes none of it")
{
    const auto slow = [](AdmissionStage::Duration deadline) { return std::make_shared<Slow>(60ms, deadline); };
    Setup setup;
    bool admitted = true;
    SUBCASE("its own") { setup = with_stages({slow(1h), slow(1h)}); }
    SUBCASE("shared")
    {
        admitted = false;
        setup = with_stages({slow(0s), slow(0s)});
    }
    setup.server.auth_timeout = 100ms;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    if (admitted)
        CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    else
        CHECK(fixture.end() == SessionEnd::auth_timeout);
}

TEST_CASE("stages: one wraps the connection, for the stages after it and for the instance")
{
    ServerFixture fixture(with_stages({std::make_shared<ChangeCase>(), std::make_shared<AskTeam>(), admit_team()}));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 6)) == "TEAM\x1f\0"s);
    fixture.send(client, "RED\x2aquestion");
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    fixture.loop.settle();
    CHECK(fixture.instance(1).identity()->owner() == Identity("service", "red", "").owner());
    auto& instance = fixture.last_connection();
    CHECK(fixture.arrives(instance, "QUESTION"));
    instance.send("answer");
    instance.shutdown_send();
    CHECK(client.shutdown_send());
    CHECK(fixture.rest(client) == "ANSWER");
    CHECK(fixture.end() == SessionEnd::completed);
    CHECK(fixture.summary().bytes_up == 8);
    CHECK(fixture.summary().bytes_down == 6);
}

TEST_CASE("stages: a newcomer gets the place of the oldest client of the source that has most")
{
    const auto budget = std::make_shared<PlaceBudget>(3);
    ServerFixture fixture(with_stages({std::make_shared<AskTeam>(0s, budget)}));
    fixture.start();
    auto neighbour = fixture.connect("127.0.0.3");
    auto oldest = fixture.connect("127.0.0.2"), younger = fixture.connect("127.0.0.2");
    for (auto* client : {&neighbour, &oldest, &younger})
        REQUIRE(asked(fixture, *client));
    CHECK(budget->taken() == 3);
    auto newcomer = fixture.connect();
    CHECK(asked(fixture, newcomer));
    CHECK(fixture.rest(oldest) == " reset");
    CHECK(fixture.end() == SessionEnd::displaced);
    CHECK(budget->taken() == 3);
    for (auto* client : {&neighbour, &younger})
        CHECK(try_read(*client) == "would block");
}

TEST_CASE("stages: a place comes free with its client")
{
    const auto budget = std::make_shared<PlaceBudget>(1);
    ServerFixture fixture(with_stages({std::make_shared<AskTeam>(0s, budget)}));
    fixture.start();
    auto first = fixture.connect();
    REQUIRE(asked(fixture, first));
    CHECK(budget->taken() == 1);
    SUBCASE("that passes")
    {
        fixture.send(first, "red\n");
        CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    }
    SUBCASE("that leaves")
    {
        first.abort();
        CHECK(fixture.end() == SessionEnd::client_left);
    }
    fixture.loop.settle();
    CHECK(budget->taken() == 0);
}

TEST_CASE("stages: a client has its place among the unadmitted until it has passed the last one")
{
    auto setup = with_stages({std::make_shared<AskTeam>()});
    setup.authenticator = std::make_unique<PromptAuthenticator>(std::vector<std::string>{"secret"}, "? ");
    const auto limit = std::make_shared<UnadmittedLimit>(1);
    setup.server.unadmitted = limit;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(asked(fixture, client));
    CHECK(limit->count() == 1);
    fixture.send(client, "red\n");
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 2)) == "? ");
    CHECK(limit->count() == 1);
    SUBCASE("admitted")
    {
        fixture.send(client, "secret\n");
        CHECK(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
        CHECK(limit->count() == 0);
    }
    SUBCASE("displaced")
    {
        auto other = fixture.connect();
        CHECK(fixture.rest(client) == " reset");
        CHECK(fixture.end() == SessionEnd::displaced);
    }
}

TEST_CASE("stages: those before a start are only for clients who join no instance")
{
    Passed identified, started;
    auto setup = shared_instance();
    std::size_t warm = 0;
    SUBCASE("cold") {}
    SUBCASE("warm") { warm = setup.pool.warm = 1; }
    setup.server.identified_stages = {identified.stage("identified")};
    setup.server.start_stages = {started.stage("start")};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.running() == warm; }));
    {
        auto first = fixture.joined();
        CHECK(identified.count == 1);
        CHECK(started.count == 1);
        auto second = fixture.joined();
        CHECK(identified.count == 2);
        CHECK(started.count == 1);
    }
    // Its instance lingers.
    auto third = fixture.joined();
    CHECK(identified.count == 3);
    CHECK(started.count == 1);
    fixture.instance(1).exit();
    fixture.loop.settle();
    auto fourth = fixture.joined();
    CHECK(started.count == 2);
}

TEST_CASE("stages: a client that joins an instance which has yet to start passes none of those before a start")
{
    Passed started;
    auto setup = shared_instance();
    setup.server.start_stages = {started.stage("start")};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    fixture.backend.starts.hold();
    auto first = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.starts.waiting() == 1; }));
    auto second = fixture.connect();
    fixture.backend.starts.release();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 2; }));
    CHECK(started.count == 1);
}

TEST_CASE("stages: a client whose instance ends under its hands passes those before a start only then")
{
    Passed started;
    auto setup = shared_instance();
    setup.server.start_stages = {started.stage("start")};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    fixture.backend.opens.hold();
    auto second = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.opens.waiting() == 1; }));
    CHECK(started.count == 1);
    fixture.instance(1).exit();
    fixture.backend.opens.release();
    REQUIRE(fixture.loop.until([&] { return fixture.backend.instances().size() == 2; }));
    CHECK(started.count == 2);
    fixture.loop.settle();
    fixture.send(second, "hello");
    CHECK(fixture.arrives(fixture.last_connection(), "hello"));
}

TEST_CASE("stages: a reset waits until its client has passed those before a start")
{
    Passed started;
    Result<void> answer;
    bool allowed = true;
    SUBCASE("passed") {}
    SUBCASE("refused")
    {
        allowed = false;
        answer = instancer::fail(Errc::rejected);
    }
    auto setup = shared_instance();
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("ann", "").reset(true));
    setup.server.start_stages = {std::make_shared<Scripted>(
        "start", [&](AdmissionContext&) { return ++started.count == 1 ? Result<void>() : answer; })};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto first = fixture.joined();
    auto second = fixture.connect();
    if (allowed)
        CHECK(fixture.rest(first) == " reset");
    else
        CHECK(fixture.rest(second) == "");
    CHECK(started.count == 2);
    CHECK(fixture.instance(1).ended() == allowed);
}

TEST_CASE("stages: a refusal before a start ends the client as its error says, and nothing starts")
{
    Error error(Errc::rejected, "no tickets are left");
    std::string client_sees;
    auto reason = SessionEnd::authentication_failed;
    SUBCASE("rejected") {}
    SUBCASE("full, with words of the authenticator's protocol")
    {
        error = Error(Errc::full, "no tickets are left");
        reason = SessionEnd::limit_reached;
        client_sees = "no instance is free\n";
    }
    SUBCASE("denied")
    {
        error = Error(Errc::denied, "no tickets are left");
        reason = SessionEnd::access_denied;
        client_sees = " reset";
    }
    Passed tickets;
    auto setup = shared_instance();
    Admission admission("ann", "");
    admission.on_refusal([](const Error& why) { return why.code().message() + "\n"; });
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(admission);
    setup.server.start_stages = {tickets.stage("tickets", instancer::fail(error))};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    CHECK(fixture.rest(client) == client_sees);
    CHECK(fixture.end() == reason);
    CHECK(fixture.summary().detail == "tickets: no tickets are left");
    CHECK(fixture.summary().owner == Identity("service", "ann", "").owner().hex());
    CHECK(fixture.backend.instances().empty());
}

TEST_CASE("stages: a client that one before a start waits for has a place among the unadmitted")
{
    Setup setup;
    setup.server.start_stages = {std::make_shared<AskTeam>()};
    const auto limit = std::make_shared<UnadmittedLimit>(1);
    setup.server.unadmitted = limit;
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(asked(fixture, client));
    CHECK(limit->count() == 1);
    SUBCASE("passes")
    {
        fixture.send(client, "red\nquestion");
        REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
        CHECK(limit->count() == 0);
        fixture.loop.settle();
        CHECK(fixture.arrives(fixture.last_connection(), "question"));
    }
    SUBCASE("displaced")
    {
        auto other = fixture.connect();
        CHECK(fixture.rest(client) == " reset");
        CHECK(fixture.end() == SessionEnd::displaced);
    }
    SUBCASE("leaves")
    {
        client.abort();
        CHECK(fixture.end() == SessionEnd::client_left);
        CHECK(limit->count() == 0);
    }
    SUBCASE("stopped")
    {
        fixture.server.stop();
        CHECK(fixture.rest(client) == " reset");
        CHECK(fixture.end() == SessionEnd::stopped);
    }
    CHECK(fixture.backend.instances().size() <= 1);
}

TEST_CASE("stages: stopped while a client is asked")
{
    ServerFixture fixture(with_stages({std::make_shared<AskTeam>()}));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(asked(fixture, client));
    fixture.server.stop();
    CHECK(fixture.rest(client) == " reset");
    CHECK(fixture.end() == SessionEnd::stopped);
}

TEST_CASE("stages: after a cancellation that one has not heard, none begins")
{
    Loop loop;
    bool begun = false;
    auto next = [&begun](AdmissionContext&) {
        begun = true;
        return Result<void>();
    };
    const AdmissionSequence stages({std::make_shared<Slow>(1h, 0s), std::make_shared<Scripted>("next", next)}, 0s);
    instancer::test::FakePeer peer(loop.executor());
    auto client = peer.take_stream();
    ClientInfo info;
    AdmissionContext context(info);
    auto task = loop.start(stages.run(
        client, context, [] {}, [] {}));
    loop.settle();
    task.cancel();
    REQUIRE(loop.until([&] { return task.done(); }));
    CHECK(aborted(task.value()));
    CHECK_FALSE(begun);
}
