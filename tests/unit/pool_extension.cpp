// SPDX-License-Identifier: MIT
// Owners who want their instance to live longer.
#include <doctest/doctest.h>

#include "pool_fixture.hpp"
#include "pool_script.hpp"

using instancer::Extension;
using instancer::PoolOptions;
using pool_script::PoolScript;
using Answer = Extension::Answer;
using namespace std::chrono_literals;

namespace {

PoolOptions extensible()
{
    auto options = pool_script::unlimited();
    options.ttl = 10min;
    options.extension = 5min;
    return options;
}

Extension extend(PoolScript& pool) { return pool.state.extend_ttl(pool.now, pool.slot(1)); }

}  // namespace

TEST_CASE("pool state: an extension moves the end of an instance, again and again up to the maximum")
{
    auto options = extensible();
    options.max_extension = 8min;
    PoolScript pool(options);
    pool.served("ann");
    const auto begin = pool.now;

    const auto first = extend(pool);
    CHECK(first.answer == Answer::granted);
    CHECK(first.time == begin + 15min);
    CHECK(first.total == 5min);
    CHECK(pool.pass(14min) == "");

    const auto rest = extend(pool);
    CHECK(rest.answer == Answer::granted);
    CHECK(rest.time == begin + 18min);
    CHECK(rest.total == 8min);
    const auto no_more = extend(pool);
    CHECK(no_more.answer == Answer::used_up);
    CHECK(no_more.time == begin + 18min);

    CHECK(pool.pass(4min - 1ms) == "");
    CHECK(pool.pass(1ms) == "revoke i1 expired, stop i1 expired");
    CHECK(extend(pool).answer == Answer::no_instance);
}

TEST_CASE("pool state: an instance is extended only within the window before its end")
{
    auto options = extensible();
    options.extension_window = 2min;
    PoolScript pool(options);
    pool.served("ann");
    const auto begin = pool.now;
    const auto early = extend(pool);
    CHECK(early.answer == Answer::too_early);
    CHECK(early.time == begin + 8min);
    pool.pass(8min - 1ms);
    CHECK(extend(pool).answer == Answer::too_early);
    pool.pass(1ms);
    CHECK(extend(pool).answer == Answer::granted);
    // The window is before the new end from now on.
    CHECK(extend(pool).time == begin + 13min);
}

TEST_CASE("pool state: without a time to live, or the option, there is nothing to extend")
{
    auto options = extensible();
    SUBCASE("no time to live") { options.ttl = 0s; }
    SUBCASE("no extension") { options.extension = 0s; }
    PoolScript pool(options);
    pool.served("ann");
    CHECK(extend(pool).answer == Answer::not_offered);
}

TEST_CASE("pool state: an extension changes no other limit, and only what has an owner and serves is extended")
{
    auto options = extensible();
    options.linger = 1min;
    options.warm = 1;
    PoolScript pool(options);
    pool.fill_warm();
    pool.ready(1);
    CHECK(extend(pool).answer == Answer::no_instance);
    pool.acquire("ann");
    CHECK(extend(pool).answer == Answer::granted);
    pool.release(1);
    CHECK(pool.pass(1min) == "stop i1 unused");
}

TEST_CASE("pool state: an instance that is taken over keeps its extension, and the place of one that went does not")
{
    PoolScript pool(extensible());
    REQUIRE(pool.state.adopt(pool.now, pool_script::identity("ann"), 12min, 5min));
    const auto ann = pool.state.find(pool_script::identity("ann"));
    REQUIRE(ann);
    CHECK(pool.state.deadline_of(*ann) == pool.now + 3min);
    CHECK(pool.pass(3min) == "stop unknown expired");
    pool.state.stopped(pool.now, *ann);
    pool.served("bob");
    CHECK(pool.slot(1).index() == ann->index());
    CHECK(pool.state.deadline_of(pool.slot(1)) == pool.now + 10min);
}

TEST_CASE("instance pool: an owner extends its instance by its identity, and the backend is told")
{
    using namespace pool_fixture;
    auto options = timeless();
    options.ttl = 1h;
    options.extension = 30min;
    PoolFixture fixture(options);
    CHECK(fixture.pool.extend_ttl(identity("ann")).answer == Answer::no_instance);
    auto ann = fixture.ask("ann");
    const auto granted = fixture.pool.extend_ttl(identity("ann"));
    CHECK(granted.answer == Answer::granted);
    fixture.loop.settle();
    CHECK(fixture.instance(1).extended() == 30min);
    CHECK(fixture.pool.extend_ttl(fixture.pool.snapshot()[0].id).total == 1h);
    CHECK(*fixture.pool.snapshot()[0].time_left > 119min);
}

TEST_CASE("instance pool: what a backend recovers ends when its extension says")
{
    using namespace pool_fixture;
    auto options = timeless();
    options.ttl = 1h;
    PoolFixture fixture(options);
    fixture.backend.leave_behind(identity("ann"), 90min, 1h);
    REQUIRE(fixture.start());
    REQUIRE(fixture.pool.snapshot().size() == 1);
    CHECK(*fixture.pool.snapshot()[0].time_left > 29min);
    CHECK(*fixture.pool.snapshot()[0].time_left <= 30min);
}
