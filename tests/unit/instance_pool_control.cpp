// SPDX-License-Identifier: MIT
// Single instances in the hands of an operator, other options for a pool that runs, and a pool that several share.
#include <memory>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/pool/pool_user.hpp>

#include "pool_fixture.hpp"

using namespace pool_fixture;
using instancer::PoolUser;

TEST_CASE("instance pool: an instance is listed under a number that stops it")
{
    PoolFixture fixture;
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob");
    std::uint64_t id = 0;
    for (const auto& info : fixture.pool.snapshot()) {
        CHECK(info.clients == 1);
        CHECK_FALSE(info.time_left);
        if (info.name == "fake 1")
            id = info.id;
    }
    CHECK(fixture.pool.stop(id));
    fixture.loop.settle();
    CHECK(ann.ends() == std::vector<InstanceEnd>{InstanceEnd::stopped});
    CHECK(bob.ends().empty());
    CHECK(fixture.instance(1).stopped());
    CHECK_FALSE(fixture.pool.stop(id));
    CHECK_FALSE(fixture.pool.extend(id, std::chrono::steady_clock::now() + 1h));
}

TEST_CASE("instance pool: an instance that is extended is listed with the time that is left")
{
    auto options = timeless();
    options.ttl = 1h;
    PoolFixture fixture(options);
    auto ann = fixture.ask("ann");
    REQUIRE(fixture.pool.snapshot().size() == 1);
    const auto until = std::chrono::steady_clock::now() + 3h;
    CHECK(fixture.pool.extend(fixture.pool.snapshot()[0].id, until));
    const auto left = fixture.pool.snapshot()[0].time_left;
    REQUIRE(left);
    CHECK(*left > 2h);
    CHECK(*left <= 3h);
}

TEST_CASE("instance pool: a client that waits is let in as soon as the options have room for it")
{
    auto options = timeless();
    options.max_instances = 1;
    options.when_full = instancer::WhenFull::queue;
    PoolFixture fixture(options);
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob");
    CHECK_FALSE(bob.answered());
    options.max_instances = 2;
    fixture.pool.replace_options(options);
    fixture.loop.settle();
    CHECK(bob.served());
}

TEST_CASE("instance pool: no options exceed what the backend can do")
{
    auto options = timeless();
    BackendTraits traits;
    traits.max_instances(1);
    PoolFixture fixture(options, traits);
    options.max_instances = 5;
    fixture.pool.replace_options(options);
    auto ann = fixture.ask("ann"), bob = fixture.ask("bob");
    CHECK(ann.served());
    CHECK(bob.refused(Errc::full));
}

TEST_CASE("instance pool: users share one start, and the pool ends with its last user")
{
    PoolFixture fixture;
    PoolUser one(fixture.pool), other(fixture.pool);
    fixture.backend.prepares.hold();
    auto first = fixture.loop.start(one.start()), second = fixture.loop.start(other.start());
    fixture.loop.settle();
    CHECK_FALSE(first.done());
    CHECK_FALSE(second.done());
    fixture.backend.prepares.release();
    fixture.loop.settle();
    CHECK(first.value().has_value());
    CHECK(second.value().has_value());

    auto ann = fixture.ask("ann");
    one.drain();
    one.close();
    fixture.loop.run(one.wait_empty());
    CHECK(ann.ends().empty());
    CHECK(fixture.ask("bob").served());

    other.drain();
    CHECK(fixture.ask("cat").refused(Errc::stopping));
    CHECK(ann.ends().empty());
    other.close();
    fixture.loop.run(other.wait_empty());
    CHECK(ann.ends() == std::vector<InstanceEnd>{InstanceEnd::stopped});
    CHECK(fixture.pool.snapshot().empty());
}

TEST_CASE("instance pool: a user that leaves without a word keeps no other from ending")
{
    PoolFixture fixture;
    PoolUser user(fixture.pool);
    {
        const PoolUser brief(fixture.pool);
        user.drain();
        CHECK(fixture.ask("ann").served());
    }
    CHECK(fixture.ask("bob").refused(Errc::stopping));
}

TEST_CASE("instance pool: it ends with a user that leaves without a word after all others")
{
    PoolFixture fixture;
    auto brief = std::make_unique<PoolUser>(fixture.pool);
    auto ann = fixture.ask("ann");
    {
        PoolUser user(fixture.pool);
        user.close();
    }
    CHECK(fixture.ask("bob").served());
    brief.reset();
    fixture.loop.settle();
    CHECK(ann.ends() == std::vector<InstanceEnd>{InstanceEnd::stopped});
    CHECK(fixture.ask("cat").refused(Errc::stopping));
}

TEST_CASE("instance pool: a user that comes to nothing leaves it to the next one")
{
    PoolFixture fixture;
    {
        const PoolUser brief(fixture.pool);
    }
    CHECK(fixture.ask("ann").served());
}
