// SPDX-License-Identifier: MIT
// What happens to an instance after it was ready, and to its clients when it ends.
#include <map>

#include <doctest/doctest.h>

#include "pool_fixture.hpp"

using namespace pool_fixture;

namespace {

using Ends = std::vector<InstanceEnd>;

/// What a client is answered whose instance is to come from `backend`, once nothing of it is left.
Result<Lease> answer_of(instancer::InstanceBackend& backend, EventLog& events)
{
    Loop loop;
    InstancePool pool(loop.executor(), "service", timeless(), backend, events);
    auto asked = loop.start(pool.acquire(AcquireRequest(identity("ann"), ClientInfo())));
    REQUIRE(loop.until([&] { return asked.done(); }));
    pool.close();
    loop.run(pool.wait_empty());
    return std::move(asked.value());
}

}  // namespace

TEST_CASE("instance pool: an instance goes when its last client has left and nobody comes back in time")
{
    auto options = timeless();
    options.linger = 30ms;
    PoolFixture fixture(options);
    auto ann = fixture.ask("ann"), again = fixture.ask("ann");
    ann.leave();
    fixture.loop.settle();
    const auto left = std::chrono::steady_clock::now();
    again.leave();
    REQUIRE(fixture.loop.until([&] { return fixture.instance(1).stopped(); }));
    CHECK(std::chrono::steady_clock::now() >= left + options.linger);
    CHECK(fixture.events.lines() == std::vector<std::string>{"started fake 1", "ended fake 1: unused"});
    CHECK(ann.ends().empty());
}

TEST_CASE("instance pool: clients are told once when their instance is taken away or ends, and why")
{
    auto options = timeless();
    options.max_instances = 1;
    options.when_full = instancer::WhenFull::cull_oldest;
    InstanceEnd reason = InstanceEnd::exited;
    SUBCASE("it ends by itself") { reason = InstanceEnd::exited; }
    SUBCASE("its owner resets") { reason = InstanceEnd::reset; }
    SUBCASE("it makes room") { reason = InstanceEnd::culled; }
    SUBCASE("it has lived long enough") { reason = InstanceEnd::expired; }
    SUBCASE("no byte passes") { reason = InstanceEnd::idle; }
    SUBCASE("the pool is closed") { reason = InstanceEnd::stopped; }
    if (reason == InstanceEnd::expired)
        options.ttl = 10ms;
    if (reason == InstanceEnd::idle)
        options.idle = 10ms;

    PoolFixture fixture(options);
    auto ann = fixture.ask("ann"), again = fixture.ask("ann"), left = fixture.ask("ann");
    REQUIRE(ann.served());
    left.leave();
    fixture.loop.settle();
    if (reason == InstanceEnd::exited)
        fixture.instance(1).exit();
    if (reason == InstanceEnd::reset)
        fixture.pool.reset_owner(identity("ann").owner());
    if (reason == InstanceEnd::culled)
        fixture.ask("bob");
    if (reason == InstanceEnd::stopped)
        fixture.pool.close();
    REQUIRE(fixture.loop.until([&] { return fixture.instance(1).stopped(); }));
    fixture.loop.settle();
    CHECK(ann.ends() == Ends{reason});
    CHECK(again.ends() == Ends{reason});
    CHECK(left.ends().empty());
    CHECK(fixture.events.instances().at(0).end == reason);
    ann.leave();
    again.leave();
    fixture.loop.settle();
    CHECK(ann.ends() == Ends{reason});
}

TEST_CASE("instance pool: bytes keep an instance alive")
{
    auto options = timeless();
    options.idle = 20ms;
    PoolFixture fixture(options);
    auto ann = fixture.ask("ann");
    const auto last_byte = std::chrono::steady_clock::now() + 100ms;
    ann.lease().usage().up(3, last_byte);
    REQUIRE(fixture.loop.until([&] { return fixture.instance(1).stopped(); }));
    CHECK(std::chrono::steady_clock::now() >= last_byte + options.idle);
    CHECK(ann.ends() == Ends{InstanceEnd::idle});
    CHECK(fixture.events.instances().at(0).bytes_up == 3);
}

TEST_CASE("instance pool: of instances in use, the one whose last byte is oldest is culled")
{
    auto options = timeless();
    options.max_instances = 3;
    options.when_full = instancer::WhenFull::cull_idle;
    PoolFixture fixture(options);
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob"), cat = fixture.ask("cat");
    const auto now = std::chrono::steady_clock::now();
    ann.lease().usage().up(1, now + 2s);
    bob.lease().usage().down(1, now + 1s);
    cat.lease().usage().up(1, now + 3s);
    auto dan = fixture.ask("dan");
    CHECK(dan.served());
    CHECK(ann.ends().empty());
    CHECK(bob.ends() == Ends{InstanceEnd::culled});
    CHECK(cat.ends().empty());
}

TEST_CASE("instance pool: whoever asks while an instance is being stopped gets a fresh one, after a reset only then")
{
    PoolFixture fixture;
    auto ann = fixture.ask("ann");
    fixture.backend.stops.hold();
    bool reset = false;
    SUBCASE("it ended by itself") { fixture.instance(1).exit(); }
    SUBCASE("reset") { reset = true; }
    fixture.loop.settle();
    auto again = fixture.ask("ann", reset);
    CHECK(again.served() == !reset);
    fixture.backend.stops.release();
    fixture.loop.settle();
    REQUIRE(again.served());
    CHECK(again.lease().instance().name() == "fake 2");
    CHECK(fixture.instance(1).stopped());
}

TEST_CASE("instance pool: drain waits for the sessions, close does not")
{
    PoolFixture fixture;
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob");
    bob.leave();
    fixture.loop.settle();
    auto empty = fixture.loop.start(fixture.pool.wait_empty());
    SUBCASE("drain")
    {
        fixture.pool.drain();
        fixture.loop.settle();
        CHECK(fixture.instance(2).stopped());
        CHECK_FALSE(fixture.instance(1).stopped());
        CHECK(fixture.ask("ann").refused(Errc::stopping));
        CHECK_FALSE(empty.done());
        ann.leave();
        fixture.loop.settle();
    }
    SUBCASE("close")
    {
        fixture.backend.stops.hold();
        fixture.pool.close();
        fixture.loop.settle();
        CHECK(ann.ends() == Ends{InstanceEnd::stopped});
        CHECK(fixture.ask("ann").refused(Errc::stopping));
        CHECK_FALSE(empty.done());
        fixture.backend.stops.release();
        fixture.loop.settle();
    }
    CHECK(empty.done());
    CHECK(fixture.backend.running() == 0);
}

TEST_CASE("instance pool: closed while clients wait for a start, a turn and room, all are refused")
{
    auto options = timeless();
    options.max_starting = 1;
    options.max_instances = 2;
    options.when_full = instancer::WhenFull::queue;
    PoolFixture fixture(options);
    fixture.backend.starts.hold();
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob"), cat = fixture.ask("cat");
    fixture.pool.close();
    fixture.loop.settle();
    for (Asker* asker : {&ann, &bob, &cat})
        CHECK(asker->refused(Errc::stopping));
    auto empty = fixture.loop.start(fixture.pool.wait_empty());
    fixture.loop.settle();
    CHECK_FALSE(empty.done());
    fixture.backend.starts.release();
    fixture.loop.settle();
    CHECK(empty.done());
    CHECK(fixture.backend.times_opened() == 0);
}

TEST_CASE("instance pool: what a previous run left is taken over")
{
    auto options = timeless();
    options.ttl = 10h;
    PoolFixture fixture(options);
    auto left = fixture.backend.leave_behind(identity("ann"), 60s);
    REQUIRE(fixture.start());
    CHECK(fixture.events.has("adopted fake 1"));
    SUBCASE("a returning client meets its own instance")
    {
        auto ann = fixture.ask("ann");
        REQUIRE(ann.served());
        CHECK(ann.lease().instance().name() == "fake 1");
        CHECK_FALSE(ann.lease().take_stream());
    }
    SUBCASE("a reset reaches it")
    {
        auto ann = fixture.ask("ann", true);
        REQUIRE(ann.served());
        CHECK(ann.lease().instance().name() == "fake 2");
        CHECK(left->stopped());
    }
    SUBCASE("its end is noticed")
    {
        left->exit();
        fixture.loop.settle();
        CHECK(left->stopped());
        CHECK(fixture.events.has("ended fake 1: exited"));
    }
}

TEST_CASE("instance pool: of what was left, the oldest goes first, and what is there twice goes at once")
{
    auto options = timeless();
    options.max_instances = 3;
    options.when_full = instancer::WhenFull::cull_oldest;
    PoolFixture fixture(options);
    const auto young = fixture.backend.leave_behind(identity("ann"), 10s);
    const auto oldest = fixture.backend.leave_behind(identity("bob"), 1000s);
    const auto old = fixture.backend.leave_behind(identity("cat"), 100s);
    const auto twice = fixture.backend.leave_behind(identity("ann"), 5s);
    REQUIRE(fixture.start());
    fixture.loop.settle();
    CHECK(twice->stopped());
    CHECK(fixture.ask("dan").served());
    CHECK(oldest->stopped());
    CHECK_FALSE(old->stopped());
    CHECK_FALSE(young->stopped());
}

TEST_CASE("instance pool: closed while it starts, it ends what was left and begins nothing")
{
    auto options = timeless();
    options.warm = 2;
    PoolFixture fixture(options);
    const auto left = fixture.backend.leave_behind(identity("ann"), 10s);
    fixture.backend.prepares.hold();
    auto started = fixture.loop.start(fixture.pool.start());
    fixture.loop.settle();
    fixture.pool.close();
    fixture.backend.prepares.release();
    fixture.loop.settle();
    REQUIRE(started.done());
    fixture.loop.run(fixture.pool.wait_empty());
    CHECK(left->stopped());
    CHECK(fixture.backend.instances().size() == 1);
}

TEST_CASE("instance pool: warm instances wait for their owners, who are told to the backend")
{
    auto options = timeless();
    options.warm = 2;
    PoolFixture fixture(options);
    REQUIRE(fixture.start());
    fixture.loop.settle();
    CHECK(fixture.backend.instances().size() == 2);
    CHECK_FALSE(fixture.instance(1).identity());
    CHECK_FALSE(fixture.instance(1).client());

    auto ann = fixture.ask("ann");
    REQUIRE(ann.served());
    CHECK(ann.lease().instance().name() == "fake 1");
    CHECK(fixture.instance(1).assigned()->id() == identity("ann").id());
    CHECK(fixture.instance(1).connections().size() == 1);
    CHECK(ann.lease().take_stream());
    CHECK(fixture.backend.instances().size() == 3);
    CHECK(fixture.events.count_beginning("claimed fake 1") == 1);

    fixture.pool.drain();
    fixture.loop.settle();
    CHECK(fixture.backend.running() == 1);
}

TEST_CASE("instance pool: a warm instance that still starts can be claimed")
{
    auto options = timeless();
    options.warm = 1;
    PoolFixture fixture(options);
    fixture.backend.starts.hold();
    REQUIRE(fixture.start());
    auto ann = fixture.ask("ann");
    CHECK_FALSE(ann.answered());
    fixture.backend.starts.release();
    fixture.loop.settle();
    REQUIRE(ann.served());
    CHECK_FALSE(fixture.instance(1).identity());
    CHECK(fixture.instance(1).assigned()->owner() == identity("ann").owner());
    CHECK(fixture.events.count("claimed fake 1") == 1);
}

TEST_CASE("instance pool: two pools share a budget, and hear of room in it")
{
    const auto budget = std::make_shared<InstanceBudget>(1);
    auto options = timeless();
    options.linger = 0s;
    options.when_full = instancer::WhenFull::queue;
    Loop loop;
    EventLog events;
    FakeBackend backend(loop.executor());
    InstancePool one(loop.executor(), "one", options, backend, events, budget);
    InstancePool other(loop.executor(), "other", options, backend, events, budget);
    REQUIRE(loop.run(one.start()));
    REQUIRE(loop.run(other.start()));
    auto first = loop.run(one.acquire(AcquireRequest(identity("ann"), ClientInfo())));
    REQUIRE(first);
    auto second = loop.start(other.acquire(AcquireRequest(identity("bob"), ClientInfo())));
    loop.settle();
    CHECK_FALSE(second.done());
    *first = Lease();
    loop.settle();
    REQUIRE(second.done());
    CHECK(second.value());
    CHECK(budget->used() == 1);
    one.close();
    other.close();
    loop.run(one.wait_empty());
    loop.run(other.wait_empty());
    CHECK(budget->used() == 0);
}

TEST_CASE("instance pool: an operator sees what there is")
{
    auto options = timeless();
    options.warm = 1;
    PoolFixture fixture(options);
    REQUIRE(fixture.start());
    auto ann = fixture.ask("ann");
    REQUIRE(ann.served());
    ann.lease().usage().up(5);
    ann.lease().usage().down(7);
    fixture.backend.starts.hold();
    auto bob = fixture.ask("bob");  // Gets the warm one; the next one starts.
    std::map<std::string, instancer::InstanceInfo> by_state;
    for (const auto& info : fixture.pool.snapshot())
        by_state[info.state + " " + info.owner] = info;
    CHECK(by_state.size() == 3);
    CHECK(by_state.count("starting ") == 1);
    CHECK(by_state.count("running " + identity("bob").owner().hex()) == 1);
    const auto& info = by_state["running " + identity("ann").owner().hex()];
    CHECK(info.clients == 1);
    CHECK(info.bytes_up == 5);
    CHECK(info.bytes_down == 7);
    CHECK(info.name == ann.lease().instance().name());
}

TEST_CASE("instance pool: a stop that fails is told, and the instance counts as gone")
{
    PoolFixture fixture;
    fixture.backend.stop_error = Error(Errc::backend_unavailable, "engine is away");
    auto ann = fixture.ask("ann");
    fixture.pool.reset_owner(identity("ann").owner());
    fixture.loop.settle();
    CHECK(fixture.events.count_beginning("warning: stopping fake 1: engine is away") == 1);
    CHECK(fixture.ask("ann").served());
    fixture.backend.stop_error.reset();
}

TEST_CASE("instance pool: an instance that is gone when it is reached first is given up at once")
{
    for (const auto code : {Errc::instance_gone, Errc::start_failed}) {
        PoolFixture fixture;
        fixture.backend.open_error = Error(code, "it has vanished");
        auto ann = fixture.ask("ann");
        CHECK(ann.refused(Errc::start_failed));
        CHECK(ann.why() == "it has vanished");
        CHECK(fixture.backend.times_opened() == 1);
        CHECK(fixture.instance(1).stopped());
    }
}

TEST_CASE("instance pool: whatever a backend throws when it is to start an instance is a start that failed")
{
    class Throwing final : public instancer::InstanceBackend {
        asio::awaitable<Result<instancer::Instance>> do_start(instancer::InstanceRequest) override
        {
            throw 42;
            co_return instancer::Instance();
        }
        asio::awaitable<Result<Stream>> do_open(instancer::Instance, instancer::OpenRequest) override
        {
            co_return instancer::fail(Errc::not_ready);
        }
        asio::awaitable<instancer::InstanceExit> do_wait(instancer::Instance) override
        {
            co_return instancer::InstanceExit("over");
        }
        asio::awaitable<Result<void>> do_stop(instancer::Instance) override { co_return Result<void>(); }
    };
    EventLog events;
    Throwing backend;
    const auto answer = answer_of(backend, events);
    CHECK(answer.error() == Errc::start_failed);
    CHECK(answer.error().message() == "an exception of no known kind");
}

TEST_CASE("instance pool: a backend that throws when it is asked beside the rest fails in that alone")
{
    using namespace instancer;
    class Throwing final : public InstanceBackend {
    public:
        bool stopped = false;

    private:
        asio::awaitable<Result<Instance>> do_start(InstanceRequest) override { co_return Instance("bad", nullptr); }
        asio::awaitable<Result<Stream>> do_open(Instance, OpenRequest) override { co_return fail(Errc::not_ready); }
        asio::awaitable<InstanceExit> do_wait(Instance) override { co_return InstanceExit("exit code 1"); }
        asio::awaitable<Result<void>> do_stop(Instance) override
        {
            stopped = true;
            co_return Result<void>();
        }
        asio::awaitable<Result<void>> do_assign(Instance, Identity) override
        {
            throw std::runtime_error("cannot assign");
            co_return Result<void>();
        }
        asio::awaitable<std::string> do_diagnose(Instance) override
        {
            throw std::runtime_error("cannot explain");
            co_return std::string();
        }
    };
    EventLog events;
    Throwing backend;
    CHECK_FALSE(answer_of(backend, events));
    CHECK(backend.stopped);
    REQUIRE(events.instances().size() == 1);
    CHECK(events.instances().front().detail == "exit code 1\ncannot explain");
}

TEST_CASE("instance pool: waiting for the end can be given up, before and after")
{
    PoolFixture fixture;
    auto ann = fixture.ask("ann");
    auto waiting = fixture.loop.start(fixture.pool.wait_empty());
    fixture.loop.settle();
    CHECK_FALSE(waiting.done());
    waiting.cancel();
    fixture.loop.settle();
    CHECK(waiting.done());
    auto before = fixture.loop.start_cancelled(fixture.pool.wait_empty());
    fixture.loop.settle();
    CHECK(before.done());
}
