// SPDX-License-Identifier: MIT
// What an operator does to single instances, and to the options of a pool that runs.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

/// Clients wait where there is no room.
PoolOptions queueing()
{
    auto options = unlimited();
    options.when_full = WhenFull::queue;
    options.queue_size = 8;
    return options;
}

}  // namespace

TEST_CASE("pool state: an operator stops one instance, in use or not, and another one may have its room")
{
    auto options = queueing();
    options.max_instances = 2;
    PoolScript pool(options);
    pool.served("ann");
    pool.served("bob");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.stop(1) == "revoke i1 stopped, stop i1 stopped");
    CHECK(pool.stop(1) == "");
    CHECK_FALSE(pool.state.stop(pool.now, pool.slot(1)));
    CHECK(pool.stopped(1) == "start i3 for c3");
    CHECK_FALSE(pool.state.stop(pool.now, pool.slot(1)));
    CHECK(pool.stop(3) == "refuse c3 stopping, stop i3 stopped");
}

TEST_CASE("pool state: no time limit ends an instance before the time that it was extended to")
{
    auto options = unlimited();
    PoolState::Duration limit = 10min;
    std::string end;
    bool leaves = false;
    SUBCASE("time to live")
    {
        options.ttl = limit;
        end = "revoke i1 expired, stop i1 expired";
    }
    SUBCASE("silence")
    {
        options.idle = limit;
        end = "check i1";
    }
    SUBCASE("nobody comes back")
    {
        options.linger = limit;
        leaves = true;
        end = "stop i1 unused";
    }
    SUBCASE("an instance that goes with its last client")
    {
        options.linger = limit = 0s;
        leaves = true;
        end = "stop i1 unused";
    }
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.extend(1, 1h) == "");
    if (leaves)
        CHECK(pool.release(1) == "");
    CHECK(pool.state.deadline_of(pool.slot(1)) == pool.now + 1h);
    CHECK(pool.pass(1h - 1ms) == "");
    CHECK(pool.pass(1ms) == end);
}

TEST_CASE("pool state: a later extension replaces an earlier one, and gone instances have none")
{
    auto options = unlimited();
    options.ttl = 10min;
    PoolScript pool(options);
    pool.served("ann");
    const auto slot = pool.slot(1);
    CHECK(pool.state.deadline_of(slot) == pool.now + 10min);
    pool.extend(1, 5h);
    pool.pass(1min);
    pool.extend(1, 2min);
    CHECK(pool.state.deadline_of(slot) == pool.now + 9min);
    CHECK(pool.pass(9min) == "revoke i1 expired, stop i1 expired");
    CHECK_FALSE(pool.state.deadline_of(slot));
    CHECK_FALSE(pool.state.extend(slot, pool.now + 1h));
}

TEST_CASE("pool state: instances keep the time limits that held when they got their owner")
{
    auto options = unlimited();
    options.ttl = 10min;
    PoolScript pool(options);
    pool.served("ann");
    options.ttl = 1min;
    CHECK(pool.replace_options(options) == "");
    pool.served("bob");
    CHECK(pool.pass(2min) == "revoke i2 expired, stop i2 expired");
    options.ttl = 1h;
    pool.replace_options(options);
    CHECK(pool.pass(8min) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: a lower cap ends nobody, a higher one lets waiting clients in at once")
{
    auto options = queueing();
    options.max_instances = 2;
    PoolScript pool(options);
    pool.served("ann");
    pool.served("bob");
    options.max_instances = 1;
    CHECK(pool.replace_options(options) == "");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.died(1) == "revoke i1 exited, stop i1 exited");
    CHECK(pool.stopped(1) == "");  // One too many before, and none free now.
    options.max_instances = 2;
    CHECK(pool.replace_options(options) == "start i3 for c3");
}

TEST_CASE("pool state: a limit on waiting holds for clients that waited without one, and for those that come")
{
    auto options = queueing();
    options.max_instances = 1;
    options.queue_timeout = 0s;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.acquire("bob") == "");
    options.queue_timeout = 30s;
    CHECK(pool.replace_options(options) == "");
    CHECK(pool.pass(10s) == "");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.pass(20s) == "refuse c2 queue timeout");
    CHECK(pool.pass(10s) == "refuse c3 queue timeout");
}

TEST_CASE("pool state: an owner with a higher cap of its own gets more at once")
{
    auto options = queueing();
    options.max_per_owner = 1;
    PoolScript pool(options);
    pool.served("ann/1");
    CHECK(pool.acquire("ann/2") == "");
    options.max_per_owner = 2;
    CHECK(pool.replace_options(options) == "start i2 for c2");
}

TEST_CASE("pool state: the stock of warm instances follows its number")
{
    auto options = unlimited();
    options.warm = 2;
    PoolScript pool(options);
    CHECK(pool.fill_warm() == "start i1 warm, start i2 warm");
    pool.ready(1);
    options.warm = 3;
    CHECK(pool.replace_options(options) == "start i3 warm");
    options.warm = 1;
    CHECK(pool.replace_options(options) == "stop i1 stopped, stop i2 stopped");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.ready(3) == "");
}

TEST_CASE("pool state: the idlest makes room as soon as the options say so")
{
    auto options = unlimited();
    options.max_instances = 2;
    PoolScript pool(options);
    pool.served("ann");
    pool.pass(10s);
    pool.served("bob");
    CHECK(pool.acquire("cat") == "refuse c3 full");
    options.when_full = WhenFull::cull_idle;
    pool.replace_options(options);
    pool.pass(10s);
    CHECK(pool.wants_activity("cat") == "i1");
    pool.active(1, 5s);
    CHECK(pool.acquire("cat") == "revoke i2 culled, stop i2 culled");
}
