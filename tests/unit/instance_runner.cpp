// SPDX-License-Identifier: MIT
// The life of one instance, and what its pool hears of it. Here the pool only listens.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <doctest/doctest.h>

#include <instancer/detail/pool/instance_runner.hpp>
#include <instancer/test/fake_backend.hpp>

#include "async_test.hpp"
#include "event_log.hpp"

using namespace async_test;
using namespace instancer;
using detail::InstanceRecord;
using detail::InstanceRecordPtr;
using detail::InstanceRunner;

namespace {

const Identity ann("service", "ann", "");

/// Notes what it hears.
class Pool final : public InstanceRunner::Pool, public std::enable_shared_from_this<Pool> {
public:
    std::vector<std::string> heard;

private:
    std::shared_ptr<InstanceRunner::Pool> keep_alive() override { return shared_from_this(); }
    void instance_ready(const InstanceRecordPtr&) override { heard.emplace_back("ready"); }
    void instance_personalized(const InstanceRecordPtr& record, const Result<void>& personalized) override
    {
        CHECK(!record->personalizing);
        heard.push_back(personalized ? "personalized" : "not personalized: " + personalized.error().message());
    }
    void instance_start_failed(const InstanceRecordPtr& record, Errc error) override
    {
        heard.push_back((error == Errc::start_failed ? "start failed: " : "unavailable: ") + record->detail);
    }
    void instance_died(const InstanceRecordPtr& record) override
    {
        heard.push_back("died: " + record->detail);
        record->request_stop(record->ready ? InstanceEnd::exited : InstanceEnd::start_failed);
    }
    void instance_stopped(const InstanceRecordPtr&) override { heard.emplace_back("stopped"); }
};

using Heard = std::vector<std::string>;

class Fixture {
public:
    explicit Fixture(const BackendTraits& traits = {})
        : backend(loop.executor(), traits), runner(loop.executor(), "service", backend, events, *pool)
    {
    }

    ~Fixture()
    {
        backend.starts.release();
        backend.opens.release();
        if (!record->stop_requested)
            record->request_stop(InstanceEnd::stopped);
        record->hurry();
        loop.settle();
        CHECK(backend.running() == 0);
        // No life of an instance holds it any more.
        CHECK(pool.use_count() == 1);
    }

    void start(InstanceRequest request = InstanceRequest("service"))
    {
        runner.start(record, std::move(request));
        loop.settle();
    }

    void stop(InstanceEnd why)
    {
        record->request_stop(why);
        loop.settle();
    }

    test::FakeInstance& instance() { return *backend.instances().at(0); }

    Loop loop;
    EventLog events;
    test::FakeBackend backend;
    std::shared_ptr<Pool> pool = std::make_shared<Pool>();
    InstanceRunner runner;
    InstanceRecordPtr record = std::make_shared<InstanceRecord>(loop.executor(), SlotId(0, 0));
};

}  // namespace

TEST_CASE("instance runner: an instance is ready once it accepts, and gone once it has been stopped")
{
    Fixture fixture;
    fixture.backend.opens_to_refuse = 2;
    fixture.start();
    REQUIRE(fixture.loop.until([&] { return fixture.record->ready; }));
    CHECK(fixture.pool->heard == Heard{"ready"});
    CHECK(fixture.backend.times_opened() == 3);
    CHECK(fixture.record->first);
    fixture.stop(InstanceEnd::expired);
    CHECK(fixture.pool->heard == Heard{"ready", "stopped"});
    CHECK(fixture.events.lines() == Heard{"started fake 1 warm", "ended fake 1: expired"});
}

TEST_CASE("instance runner: what takes the client's socket, or is ready at once, is not connected to")
{
    BackendTraits traits;
    SUBCASE("takes the socket") { traits.takes_client_socket(true); }
    SUBCASE("ready at start") { traits.ready_at_start(true); }
    Fixture fixture(traits);
    fixture.start();
    CHECK(fixture.pool->heard == Heard{"ready"});
    CHECK(fixture.backend.times_opened() == 0);
}

TEST_CASE("instance runner: a start that the backend cannot do leaves nothing to stop")
{
    Fixture fixture;
    SUBCASE("failed")
    {
        fixture.backend.start_error = Error(Errc::bad_request, "no such program");
        fixture.start();
        CHECK(fixture.pool->heard == Heard{"start failed: no such program"});
    }
    SUBCASE("away")
    {
        fixture.backend.start_error = Error(Errc::backend_unavailable, "no engine");
        fixture.start();
        CHECK(fixture.pool->heard == Heard{"unavailable: no engine"});
    }
    CHECK(fixture.record->end == InstanceEnd::start_failed);
    CHECK(fixture.events.instances().size() == 1);
}

TEST_CASE("instance runner: a start that was given up meanwhile keeps the reason for that")
{
    Fixture fixture;
    fixture.backend.starts.hold();
    fixture.start();
    fixture.stop(InstanceEnd::abandoned);
    SUBCASE("it would have succeeded") {}
    SUBCASE("it fails too") { fixture.backend.start_error = Error(Errc::bad_request, "no such program"); }
    fixture.backend.starts.release();
    fixture.loop.settle();
    CHECK(fixture.record->end == InstanceEnd::abandoned);
    CHECK(fixture.backend.times_opened() == 0);
    CHECK(fixture.pool->heard.size() == 1);
}

TEST_CASE("instance runner: an attempt to connect that gets no answer does not hold up the end")
{
    Fixture fixture;
    fixture.backend.opens.hold();
    fixture.start();
    SUBCASE("asked for")
    {
        fixture.stop(InstanceEnd::start_timeout);
        CHECK(fixture.pool->heard == Heard{"stopped"});
    }
    SUBCASE("by itself")
    {
        fixture.instance().exit("exit code 2");
        fixture.loop.settle();
        CHECK(fixture.pool->heard == Heard{"died: exit code 2", "stopped"});
    }
}

TEST_CASE("instance runner: an instance that no attempt can reach any more has died")
{
    Fixture fixture;
    fixture.backend.open_error = Error(Errc::instance_gone, "no such container");
    fixture.start();
    CHECK(fixture.pool->heard == Heard{"died: no such container", "stopped"});
}

TEST_CASE("instance runner: an instance that ends by itself dies at once, and the backend is asked why")
{
    Fixture fixture;
    fixture.backend.explanation = "last words";
    fixture.start();
    fixture.instance().exit("exit code 1");
    fixture.loop.settle();
    CHECK(fixture.pool->heard == Heard{"ready", "died: exit code 1", "stopped"});
    CHECK(fixture.events.instances().at(0).detail == "exit code 1\nlast words");
}

TEST_CASE("instance runner: an instance that nobody uses any more may end by itself, unless there is no time")
{
    Fixture fixture(BackendTraits().finish_time(10s));
    fixture.start();
    fixture.record->served_in_order = true;
    fixture.stop(InstanceEnd::unused);
    CHECK(fixture.pool->heard == Heard{"ready"});
    SUBCASE("it does")
    {
        fixture.instance().exit("exit code 3");
        fixture.loop.settle();
        CHECK(fixture.record->end == InstanceEnd::exited);
        CHECK(fixture.events.instances().at(0).detail == "exit code 3");
    }
    SUBCASE("no time")
    {
        fixture.record->hurry();
        fixture.loop.settle();
        CHECK(fixture.record->end == InstanceEnd::unused);
    }
    CHECK(fixture.pool->heard == Heard{"ready", "stopped"});
}

TEST_CASE("instance runner: a warm instance hears of its owner, at once or when it is ready")
{
    Fixture fixture;
    SUBCASE("at once")
    {
        fixture.start();
        fixture.runner.assign(fixture.record, InstanceRequest("service", ann, ClientInfo()));
    }
    SUBCASE("when it is ready")
    {
        fixture.backend.opens.hold();
        fixture.start();
        fixture.runner.assign(fixture.record, InstanceRequest("service", ann, ClientInfo()));
        fixture.loop.settle();
        CHECK(!fixture.instance().assigned());
        fixture.backend.opens.release();
    }
    fixture.loop.settle();
    REQUIRE(fixture.instance().assigned());
    CHECK(fixture.instance().assigned()->id() == ann.id());
    CHECK(fixture.record->owner == ann.owner().hex());
    CHECK(fixture.events.count("claimed fake 1") == 1);
}

TEST_CASE("instance runner: a warm instance is personalized before it hears of its owner, and stopped only afterwards")
{
    Fixture fixture(BackendTraits().personalizes(true));
    fixture.start();
    fixture.backend.personalizations.hold();
    fixture.runner.assign(fixture.record, InstanceRequest("service", ann, ClientInfo()));
    fixture.stop(InstanceEnd::stopped);
    CHECK(!fixture.instance().assigned());
    CHECK(fixture.pool->heard == Heard{"ready"});
    fixture.backend.personalizations.release();
    fixture.loop.settle();
    CHECK(fixture.instance().assigned());
    CHECK(fixture.pool->heard == Heard{"ready", "personalized", "stopped"});
}

TEST_CASE("instance runner: one that runs already is watched, and stopped like any other")
{
    Fixture fixture;
    fixture.backend.leave_behind(ann, 5s);
    const auto orphans = fixture.loop.run(fixture.backend.recover("service"));
    REQUIRE(orphans);
    fixture.record->instance = orphans->at(0).instance();
    fixture.runner.adopt(fixture.record);
    fixture.loop.settle();
    CHECK(fixture.record->ready);
    CHECK(fixture.pool->heard.empty());
    SUBCASE("it ends")
    {
        fixture.instance().exit("exit code 1");
        fixture.loop.settle();
        CHECK(fixture.pool->heard == Heard{"died: exit code 1", "stopped"});
    }
    SUBCASE("it is to end")
    {
        fixture.stop(InstanceEnd::reset);
        CHECK(fixture.pool->heard == Heard{"stopped"});
    }
    CHECK(fixture.instance().stopped());
}

TEST_CASE("instance runner: a stop that fails is a warning, and the instance is gone all the same")
{
    Fixture fixture;
    fixture.backend.stop_error = Error(Errc::backend_unavailable, "no engine");
    fixture.start();
    fixture.stop(InstanceEnd::expired);
    CHECK(fixture.events.has("warning: stopping fake 1: no engine"));
    CHECK(fixture.pool->heard == Heard{"ready", "stopped"});
}
