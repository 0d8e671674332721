// SPDX-License-Identifier: MIT
// The instances of a service whose options change: who starts the next ones, and what becomes of those that there are.
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include <instancer/events.hpp>
#include <instancer/test/fake_backend.hpp>

#include "reload/service_instances.hpp"

#include "async_test.hpp"

using namespace instancer;
using namespace instancer::daemon;
using async_test::Loop;
using instancer::test::FakeBackend;

namespace {

PoolOptions timeless(std::size_t warm = 0)
{
    PoolOptions options;
    options.idle = options.linger = std::chrono::hours(1);
    options.warm = warm;
    return options;
}

/// One service on one worker, which the test runs.
class Fixture {
public:
    explicit Fixture(const PoolOptions& options = timeless(), bool recovers = true)
        : instances(workers, "web", options, make(), recovers, events, nullptr)
    {
        REQUIRE(loop.run(instances.pool().start()));
        loop.settle();
    }
    ~Fixture()
    {
        instances.pool().close();
        loop.run(instances.pool().wait_empty());
        loop.settle();
    }

    /// A backend, which `newest` is from then on.
    std::unique_ptr<FakeBackend> make(const BackendTraits& traits = {})
    {
        auto backend = std::make_unique<FakeBackend>(workers.control(), traits);
        newest = backend.get();
        return backend;
    }

    Result<Lease> ask(std::string_view who)
    {
        const asio::ip::tcp::endpoint peer(asio::ip::make_address("192.0.2.1"), 5000);
        return loop.run(instances.pool().acquire(AcquireRequest(Identity("web", who, ""), ClientInfo(peer, peer))));
    }

    Workers workers{1};
    Loop loop{workers.context(0)};
    Events events;
    FakeBackend* newest = nullptr;
    ServiceInstances instances;
};

}  // namespace

TEST_CASE("service instances: an instance stays with the backend that started it, and the next one is the other's")
{
    Fixture f;
    auto* const old = f.newest;
    auto ann = f.ask("ann");
    REQUIRE(ann);
    f.instances.use(timeless(), f.make());
    f.loop.settle();
    auto again = f.ask("ann"), bob = f.ask("bob");
    REQUIRE(again);
    REQUIRE(bob);
    CHECK(old->instances().size() == 1);
    CHECK(f.newest->instances().size() == 1);

    CHECK(old->times_opened() == 1);
    const auto stream = f.loop.run(f.instances.pool().backend().open(again->instance(), OpenRequest()));
    CHECK(stream);
    CHECK(old->times_opened() == 2);
}

TEST_CASE("service instances: a backend goes after its last instance")
{
    Fixture f;
    auto ann = f.ask("ann");
    REQUIRE(ann);
    const std::weak_ptr<test::FakeInstance> instance = f.newest->instances().front();
    f.instances.use(timeless(), f.make());
    f.loop.settle();
    CHECK_FALSE(instance.expired());
    f.instances.pool().stop(f.instances.pool().snapshot().front().id);
    *ann = Lease();
    ann = fail(Errc::cancelled);
    f.loop.settle();
    CHECK(instance.expired());
}

TEST_CASE("service instances: warm ones are replaced, those that are only starting too")
{
    Fixture f(timeless(2));
    auto& old = *f.newest;
    REQUIRE(old.instances().size() == 2);
    auto next = f.make();
    auto& starting = next->starts;
    starting.hold();
    f.instances.use(timeless(2), std::move(next));
    f.loop.settle();
    CHECK(starting.waiting() == 2);
    f.instances.use(timeless(2), f.make());
    f.loop.settle();
    CHECK(f.newest->instances().size() == 2);
    starting.release();
    CHECK(f.ask("ann"));
    CHECK(f.newest->instances().front()->assigned());
}

TEST_CASE("service instances: other options without another backend leave warm instances as they are")
{
    Fixture f(timeless(2));
    auto options = timeless(2);
    options.ttl = std::chrono::minutes(1);
    f.instances.use(options);
    f.loop.settle();
    CHECK(f.newest->instances().size() == 2);
    CHECK(f.newest->running() == 2);
}

TEST_CASE("service instances: there are as many as the backend of the day can have")
{
    Fixture f;
    f.instances.use(timeless(), f.make(BackendTraits().max_instances(1)));
    const auto ann = f.ask("ann"), refused = f.ask("bob");
    CHECK(ann);
    REQUIRE_FALSE(refused);
    CHECK(refused.error() == Errc::full);
    f.instances.use(timeless(), f.make(BackendTraits().max_instances(2)));
    CHECK(f.ask("bob"));
}

TEST_CASE("service instances: a backend of another kind cannot take the place")
{
    Fixture f;
    CHECK(f.instances.can_use(*f.make(BackendTraits().max_instances(7))));
    CHECK_FALSE(f.instances.can_use(*f.make(BackendTraits().single_use(true))));
    CHECK_FALSE(f.instances.can_use(*f.make(BackendTraits().personalizes(true))));
}

TEST_CASE("service instances: what another service of the same name holds is not taken over")
{
    for (const bool recovers : {true, false}) {
        Workers workers(1);
        Loop loop(workers.context(0));
        auto backend = std::make_unique<FakeBackend>(workers.control());
        const auto left = backend->leave_behind(Identity("web", "ann", ""), std::chrono::seconds(5));
        ReplaceableBackend replaceable(workers, std::move(backend), recovers);
        const auto found = loop.run(replaceable.recover("web"));
        REQUIRE(found);
        CHECK(found->size() == (recovers ? 1 : 0));
        if (recovers)
            CHECK(found->front().instance().name() == left->name());
        CHECK_FALSE(left->stopped());
    }
}
