// SPDX-License-Identifier: MIT
// How long the steps of sessions took, and what is reported of starts, calls of the backend and proofs.
#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <instancer/admission/proof_stage.hpp>
#include <instancer/detail/server/step_time.hpp>

#include "server_fixture.hpp"

using namespace server_fixture;
using instancer::detail::StepTime;
using Clock = std::chrono::steady_clock;

namespace {

/// Passes, or refuses, when the test lets it.
class Gate final : public AdmissionStage {
public:
    Gate(std::string name, instancer::test::FakeGate& gate, Result<void> answer = {})
        : AdmissionStage(std::move(name)), gate_(gate), answer_(std::move(answer))
    {
    }

private:
    asio::awaitable<Result<void>> do_run(Stream&, AdmissionContext&) override
    {
        co_await gate_.pass();
        co_return answer_;
    }

    instancer::test::FakeGate& gate_;
    const Result<void> answer_;
};

/// What there is besides a session's beginning and end.
class Reports final : public Events {
public:
    std::vector<SessionTimes> joined;
    std::vector<std::chrono::nanoseconds> starts;
    std::vector<std::string> calls;

private:
    void session_joined(std::string_view, std::uint64_t, const SessionTimes& times) override
    {
        joined.push_back(times);
    }
    void instance_ready(std::string_view, std::string_view, std::chrono::nanoseconds took) override
    {
        starts.push_back(took);
    }
    void backend_called(std::string_view, std::string_view call, bool failed) override
    {
        calls.push_back(std::string(call) + (failed ? " failed" : ""));
    }
};

/// Waits at `gate`, and says for how long at least.
Clock::duration hold_up(ServerFixture& fixture, instancer::test::FakeGate& gate)
{
    REQUIRE(fixture.loop.until([&] { return gate.waiting() == 1; }));
    const auto seen = Clock::now();
    fixture.loop.settle();
    const auto held = Clock::now() - seen;
    gate.release();
    return held;
}

/// A time of a session is kept in few digits.
constexpr auto rounding = std::chrono::microseconds(1);

}  // namespace

TEST_CASE("step time: none before the step, a sum after several")
{
    StepTime time;
    CHECK_FALSE(time.get());
    time.add(std::chrono::seconds(0));
    REQUIRE(time.get());
    CHECK(time.get()->count() == 0);
    time.add(std::chrono::milliseconds(250));
    time.add(std::chrono::hours(2));
    CHECK(*time.get() - std::chrono::hours(2) > std::chrono::milliseconds(249));
    CHECK(*time.get() - std::chrono::hours(2) < std::chrono::milliseconds(251));
}

TEST_CASE("session times: each stage, the start, until it was joined, and the first byte")
{
    asio::io_context unused;
    Setup setup;
    setup.pool.linger = 1h;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("ann", "").label("Ann"));
    instancer::test::FakeGate early(unused.get_executor()), late(unused.get_executor());
    setup.server.stages = {std::make_shared<Gate>("early", early)};
    setup.server.start_stages = {std::make_shared<Gate>("late", late)};
    ServerFixture fixture(std::move(setup));
    early = instancer::test::FakeGate(fixture.loop.executor());
    late = early;
    early.hold();
    late.hold();
    fixture.backend.starts.hold();
    fixture.start();
    const auto begin = Clock::now();
    auto client = fixture.connect();
    const auto in_early = hold_up(fixture, early);
    const auto in_late = hold_up(fixture, late);
    const auto in_start = hold_up(fixture, fixture.backend.starts);
    REQUIRE(fixture.loop.until([&] { return fixture.backend.times_opened() == 1; }));
    fixture.loop.settle();
    const auto joined = Clock::now();
    fixture.last_connection().send("x");
    CHECK(fixture.loop.run(socket_pair::read_exactly(client, 1)) == "x");
    client.abort();

    const auto summary = fixture.summary();
    const auto& times = summary.times;
    CHECK(summary.label == "Ann");
    CHECK(summary.source->to_string() == "127.0.0.1");
    REQUIRE(times.stage_count == 3);
    CHECK(times.stages[0].name == "early");
    CHECK(times.stages[0].took >= in_early - rounding);
    CHECK(times.stages[1].name == "authentication");
    CHECK(times.stages[2].name == "late");
    CHECK(times.stages[2].took >= in_late - rounding);
    REQUIRE((times.waiting && times.start && times.joined && times.first_byte));
    CHECK(*times.start >= in_start - rounding);
    CHECK(*times.joined >= in_early + in_late + in_start - rounding);
    CHECK(*times.joined <= joined - begin + rounding);
    CHECK(*times.first_byte > *times.joined - rounding);
    CHECK(*times.first_byte <= summary.duration + rounding);
}

TEST_CASE("session times: a client that joins an instance waits for no start, and a refused one has no such times")
{
    asio::io_context unused;
    Setup setup;
    setup.pool.linger = 1h;
    setup.authenticator = std::make_unique<ScriptedAuthenticator>(Admission("ann", ""));
    SUBCASE("it joins")
    {
        ServerFixture fixture(std::move(setup));
        fixture.start();
        auto first = fixture.joined();
        auto second = fixture.joined();
        second.abort();
        const auto times = fixture.summary().times;
        CHECK(fixture.summary().id == 2);
        REQUIRE((times.start && times.joined));
        CHECK(times.start->count() == 0);
        CHECK_FALSE(times.first_byte);
    }
    SUBCASE("it is refused")
    {
        instancer::test::FakeGate gate(unused.get_executor());
        setup.server.stages = {std::make_shared<Gate>("gate", gate, instancer::fail(instancer::Errc::rejected, "no"))};
        ServerFixture fixture(std::move(setup));
        fixture.start();
        auto client = fixture.connect();
        const auto times = fixture.summary().times;
        REQUIRE(times.stage_count == 1);
        CHECK(times.stages[0].name == "gate");
        CHECK_FALSE(times.waiting);
        CHECK_FALSE(times.start);
        CHECK_FALSE(times.joined);
    }
}

TEST_CASE("reports: a start's time, a session that is joined, and the calls of the backend with their failures")
{
    Loop loop;
    Reports reports;
    FakeBackend backend(loop.executor());
    PoolOptions options;
    options.linger = 1h;
    InstancePool pool(loop.executor(), "service", options, backend, reports);
    REQUIRE(loop.run(pool.start()));
    backend.starts.hold();
    auto task = loop.start(pool.acquire(AcquireRequest(Identity("service", "ann", ""), ClientInfo())));
    REQUIRE(loop.until([&] { return backend.starts.waiting() == 1; }));
    const auto seen = Clock::now();
    loop.settle();
    const auto held = Clock::now() - seen;
    backend.starts.release();
    REQUIRE(loop.until([&] { return task.done(); }));
    REQUIRE(reports.starts.size() == 1);
    CHECK(reports.starts.front() >= held);
    CHECK(task.value()->start_time() >= held);
    CHECK(pool.load().instances == 1);
    task.value()->usage().up(3);
    task.value()->usage().down(4);
    CHECK(pool.traffic().bytes_up == 3);
    CHECK(pool.traffic().bytes_down == 4);
    pool.close();
    loop.run(pool.wait_empty());
    CHECK(reports.calls == std::vector<std::string>{"start", "stop"});
}

TEST_CASE("reports: a proof is asked for, and is right or wrong")
{
    std::vector<ProofStep> steps;
    ProofOptions options;
    options.price = [](const ClientInfo&) { return ProofOptions::Seconds(1e-6); };
    options.report = [&](ProofStep step) { steps.push_back(step); };
    Setup setup;
    setup.server.stages = {std::make_shared<ProofStage>(std::move(options))};
    ServerFixture fixture(std::move(setup));
    fixture.start();
    auto client = fixture.connect();
    REQUIRE(fixture.loop.until([&] { return !steps.empty(); }));
    fixture.send(client, "wrong\n");
    CHECK(fixture.end() == SessionEnd::authentication_failed);
    CHECK(steps == std::vector{ProofStep::asked, ProofStep::failed});
}
