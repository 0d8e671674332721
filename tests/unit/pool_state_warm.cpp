// SPDX-License-Identifier: MIT
// Instances that are started before anybody asks for them.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

PoolOptions warmed(std::size_t count)
{
    auto options = unlimited();
    options.warm = count;
    return options;
}

}  // namespace

TEST_CASE("pool state: warm instances start when asked to, and not before")
{
    PoolScript pool(warmed(2));
    CHECK(pool.tick() == "");
    CHECK(pool.fill_warm() == "start i1 warm, start i2 warm");
    CHECK(pool.ready(1) == "");
    CHECK(pool.ready(2) == "");
    CHECK(pool.pass(1000h) == "");
}

TEST_CASE("pool state: a client gets a warm instance at once, and another one starts")
{
    PoolScript pool(warmed(2));
    pool.fill_warm();
    pool.ready(1);
    pool.ready(2);
    CHECK(pool.acquire("ann") == "assign i1, grant c1 i1, start i3 warm");
    CHECK(pool.acquire("ann") == "grant c2 i1");
    CHECK(pool.acquire("bob") == "assign i2, grant c3 i2, start i4 warm");
    CHECK(pool.state.instances() == 4);
}

TEST_CASE("pool state: with none ready, a client gets the one that began to start first")
{
    PoolScript pool(warmed(2));
    pool.fill_warm();
    CHECK(pool.acquire("ann") == "assign i1, start i3 warm");
    CHECK(pool.acquire("ann") == "");
    CHECK(pool.ready(2) == "");
    CHECK(pool.acquire("bob") == "assign i2, grant c3 i2, start i4 warm");
    CHECK(pool.ready(1) == "grant c1 i1, grant c2 i1");
}

TEST_CASE("pool state: a client that leaves stops the instance that it had claimed while it started")
{
    PoolScript pool(warmed(1));
    pool.fill_warm();
    pool.acquire("ann");
    CHECK(pool.abandon(1) == "stop i1 abandoned");
    CHECK(pool.start_failed(1) == "");
}

TEST_CASE("pool state: a warm start that waits for its turn is as good as any")
{
    auto options = warmed(2);
    options.max_starting = 1;
    options.max_instances = 2;
    PoolScript pool(options);
    CHECK(pool.fill_warm() == "start i1 warm");
    CHECK(pool.acquire("ann") == "assign i1");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.acquire("cat") == "refuse c3 full");
    CHECK(pool.ready(1) == "grant c1 i1, start i2 for c2");
    CHECK(pool.ready(2) == "grant c2 i2");
}

TEST_CASE("pool state: a warm start that waits for its turn is given up with its client, and made up for")
{
    auto options = warmed(1);
    options.max_starting = 1;
    options.max_instances = 2;
    PoolScript pool(options);
    pool.acquire("ann");
    CHECK(pool.fill_warm() == "");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.state.instances() == 2);
    CHECK(pool.abandon(2) == "");
    CHECK(pool.state.instances() == 2);
    CHECK(pool.ready(1) == "grant c1 i1, start i2 warm");
}

TEST_CASE("pool state: time to live runs from the claim")
{
    auto options = warmed(1);
    options.ttl = 20s;
    PoolScript pool(options);
    pool.fill_warm();
    pool.ready(1);
    CHECK(pool.pass(10h) == "");
    CHECK(pool.acquire("ann") == "assign i1, grant c1 i1, start i2 warm");
    CHECK(pool.pass(19999ms) == "");
    CHECK(pool.pass(1ms) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: the oldest is the one that was claimed first")
{
    auto options = warmed(1);
    options.max_instances = 3;
    options.when_full = WhenFull::cull_oldest;
    PoolScript pool(options);
    pool.fill_warm();
    pool.ready(1);
    pool.pass(1h);
    CHECK(pool.acquire("ann") == "assign i1, grant c1 i1, start i2 warm");
    pool.ready(2);
    pool.pass(1h);
    CHECK(pool.acquire("bob") == "assign i2, grant c2 i2, start i3 warm");
    pool.ready(3);
    CHECK(pool.acquire("cat") == "assign i3, grant c3 i3");
    CHECK(pool.acquire("dan") == "revoke i1 culled, stop i1 culled");
}

TEST_CASE("pool state: warm instances count against the caps, of which an owner's is one")
{
    auto options = warmed(4);
    options.max_instances = 3;
    options.max_per_owner = 1;
    PoolScript pool(options);
    CHECK(pool.fill_warm() == "start i1 warm, start i2 warm, start i3 warm");
    for (const int instance : {1, 2, 3})
        pool.ready(instance);
    CHECK(pool.acquire("ann/1") == "assign i1, grant c1 i1");
    CHECK(pool.acquire("ann/2") == "refuse c2 owner full");
    CHECK(pool.acquire("bob") == "assign i2, grant c3 i2");
    pool.died(1);
    CHECK(pool.stopped(1) == "start i4 warm");
}

TEST_CASE("pool state: a budget limits warm instances, and those that it allows start")
{
    InstanceBudget budget(1);
    PoolScript pool(warmed(2), &budget);
    CHECK(pool.fill_warm() == "start i1 warm");
    budget.take();
    budget.give_back();
    CHECK(pool.tick() == "");
    pool.ready(1);
    CHECK(pool.acquire("ann") == "assign i1, grant c1 i1");
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 warm");
}

TEST_CASE("pool state: whoever waits for room comes before the warm instances")
{
    auto options = warmed(1);
    options.max_instances = 1;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    pool.fill_warm();
    pool.ready(1);
    pool.acquire("ann");
    CHECK(pool.acquire("bob") == "");
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 for c2");
    pool.ready(2);
    pool.died(2);
    CHECK(pool.stopped(2) == "start i3 warm");
}

TEST_CASE("pool state: warm starts that fail are tried again, later each time")
{
    auto options = warmed(1);
    PoolScript pool(options);
    CHECK(pool.fill_warm() == "start i1 warm");
    int instance = 1;
    for (const auto delay : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
        CHECK(pool.start_failed(instance) == "");
        CHECK(pool.pass(delay - 1ms) == "");
        ++instance;
        CHECK(pool.pass(1ms) == "start i" + std::to_string(instance) + " warm");
    }
    // Being ready for a moment does not count.
    pool.ready(instance);
    pool.died(instance);
    CHECK(pool.stopped(instance) == "");
    CHECK(pool.pass(30s - 1ms) == "");
    CHECK(pool.pass(1ms) == "start i9 warm");
    pool.ready(9);
    CHECK(pool.pass(61s) == "");
    pool.died(9);
    CHECK(pool.stopped(9) == "");
    CHECK(pool.pass(1s - 1ms) == "");
    CHECK(pool.pass(1ms) == "start i10 warm");
}

TEST_CASE("pool state: warm starts that take long to fail are tried later each time as well")
{
    auto options = warmed(1);
    options.start_timeout = 90s;
    PoolScript pool(options);
    CHECK(pool.fill_warm() == "start i1 warm");
    int instance = 1;
    for (const auto delay : {1s, 2s, 4s, 8s, 16s, 30s, 30s}) {
        CHECK(pool.pass(90s + 5ms) == "stop i" + std::to_string(instance) + " start timeout");
        CHECK(pool.stopped(instance) == "");
        CHECK(pool.pass(delay - 6ms) == "");
        ++instance;
        CHECK(pool.pass(1ms) == "start i" + std::to_string(instance) + " warm");
    }
}

TEST_CASE("pool state: warm starts that fail together are one failure")
{
    auto options = warmed(4);
    options.start_timeout = 10s;
    PoolScript pool(options);
    pool.fill_warm();
    CHECK(pool.start_failed(1) == "");
    CHECK(pool.died(2) == "stop i2 start failed");
    CHECK(pool.start_failed(3, Errc::backend_unavailable) == "");
    CHECK(pool.stopped(2) == "");
    CHECK(pool.pass(1s) == "start i5 warm, start i6 warm, start i7 warm");
    CHECK(pool.pass(9s) == "stop i4 start timeout");
    for (const int instance : {5, 6, 7})
        pool.ready(instance);
    CHECK(pool.stopped(4) == "");
    CHECK(pool.pass(10s) == "start i8 warm");
}

TEST_CASE("pool state: a client does not wait for the next try")
{
    PoolScript pool(warmed(1));
    pool.fill_warm();
    pool.start_failed(1);
    CHECK(pool.acquire("ann") == "start i2 for c1");
    CHECK(pool.ready(2) == "grant c1 i2");
    CHECK(pool.pass(1s) == "start i3 warm");
}

TEST_CASE("pool state: drain ends warm instances in every state, and none starts again")
{
    auto options = warmed(3);
    options.max_starting = 1;
    PoolScript pool(options);
    pool.fill_warm();
    CHECK(pool.ready(1) == "start i2 warm");
    CHECK(pool.state.instances() == 3);
    CHECK(pool.drain() == "stop i1 stopped, stop i2 stopped");
    pool.stopped(1);
    pool.stopped(2);
    CHECK(pool.pass(1h) == "");
    CHECK(pool.fill_warm() == "");
    CHECK(pool.state.empty());
    CHECK_FALSE(pool.state.next_deadline());
}

TEST_CASE("pool state: a warm start that waits for its turn holds up nobody")
{
    auto options = warmed(3);
    options.max_starting = 1;
    PoolScript pool(options);
    pool.fill_warm();
    CHECK(pool.state.load().delayed_starts == 0);
    pool.acquire("ann");
    CHECK(pool.state.load().delayed_starts == 0);
    pool.acquire("bob");
    CHECK(pool.state.load().delayed_starts == 1);
}
