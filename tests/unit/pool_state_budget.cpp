// SPDX-License-Identifier: MIT
// Several pools under one cap.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

PoolOptions with(WhenFull when_full, std::size_t warm = 0)
{
    auto options = unlimited();
    options.when_full = when_full;
    options.warm = warm;
    return options;
}

}  // namespace

TEST_CASE("pool state: two pools share a budget")
{
    InstanceBudget budget(2);
    auto options = unlimited();
    options.when_full = WhenFull::queue;
    PoolScript one(options, &budget), other(options, &budget);
    one.served("ann");
    other.served("bob");
    CHECK(one.acquire("cat") == "");
    CHECK(other.acquire("dan") == "");
    CHECK(budget.used() == 2);
    SUBCASE("room comes free in the own pool")
    {
        one.died(1);
        CHECK(one.stopped(1) == "start i2 for c2");
    }
    SUBCASE("room comes free in the other one, as tick finds out")
    {
        other.abandon(2);
        other.died(1);
        CHECK(other.stopped(1) == "");
        CHECK(budget.used() == 1);
        CHECK(one.tick() == "start i2 for c2");
    }
    SUBCASE("nobody passes whoever waits already, tick or not")
    {
        other.abandon(2);
        other.died(1);
        other.stopped(1);
        CHECK(one.acquire("eve") == "start i2 for c2");
        CHECK(one.state.queued() == 1);
    }
    CHECK(budget.used() == 2);
}

TEST_CASE("pool state: a budget is made room for among the pool's own instances")
{
    InstanceBudget budget(2);
    auto options = unlimited();
    options.when_full = WhenFull::cull_oldest;
    PoolScript one(options, &budget), other(options, &budget);
    one.served("ann");
    one.served("bob");
    CHECK(other.acquire("cat") == "refuse c1 full");
    CHECK(one.acquire("cat") == "revoke i1 culled, stop i1 culled");
    CHECK(one.stopped(1) == "start i3 for c3");
    one.close();
    one.stopped(2);
    one.stopped(3);
    CHECK(budget.used() == 0);
    CHECK(other.acquire("cat") == "start i1 for c2");
}

TEST_CASE("pool state: the room of a budget goes to the pools that wait, in turn, however many wait in one of them")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::queue), &budget), other(with(WhenFull::queue), &budget);
    one.served("ann");
    for (const auto* who : {"bob", "cat", "dan"})
        CHECK(one.acquire(who) == "");
    CHECK(other.acquire("eve") == "");
    one.died(1);
    CHECK(one.stopped(1) == "start i2 for c2");
    one.ready(2);
    one.died(2);
    CHECK(one.stopped(2) == "");
    CHECK(one.acquire("fay") == "");
    CHECK(other.tick() == "start i1 for c1");
    CHECK(one.tick() == "");
    other.ready(1);
    other.died(1);
    other.stopped(1);
    CHECK(one.tick() == "start i3 for c3");
}

TEST_CASE("pool state: a pool is told of its turn, also when the one before it needs the room no more")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::queue), &budget), two(with(WhenFull::queue), &budget),
        three(with(WhenFull::queue), &budget);
    int woken = 0;
    three.state.on_wake([&] { ++woken; });
    one.served("ann");
    two.acquire("bob");
    three.acquire("cat");
    one.died(1);
    CHECK(one.stopped(1) == "");
    CHECK(woken == 0);
    CHECK(two.abandon(1) == "");
    CHECK(woken == 1);
    CHECK(three.tick() == "start i1 for c1");
}

TEST_CASE("pool state: the clients of all pools come before the warm instances of any")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::queue, 1), &budget), other(with(WhenFull::queue), &budget);
    one.fill_warm();
    one.ready(1);
    CHECK(one.acquire("ann") == "assign i1, grant c1 i1");
    CHECK(other.acquire("bob") == "");
    one.died(1);
    CHECK(one.stopped(1) == "");
    CHECK(other.tick() == "start i1 for c1");
    other.ready(1);
    other.died(1);
    other.stopped(1);
    CHECK(one.tick() == "start i2 warm");
}

TEST_CASE("pool state: an unused instance of another pool makes room, the longest unused of all first")
{
    InstanceBudget budget(3);
    PoolScript one(with(WhenFull::refuse), &budget), two(with(WhenFull::refuse), &budget),
        three(with(WhenFull::refuse), &budget);
    two.served("bob");
    one.served("ann");
    three.served("cat");
    two.release(1);
    two.pass(0s);
    one.now += 1s;
    one.release(1);
    CHECK(three.acquire("dan") == "");
    CHECK(two.tick() == "stop i1 culled");
    CHECK(three.acquire("eve") == "");
    CHECK(one.tick() == "stop i1 culled");
    CHECK(three.acquire("fay") == "refuse c4 full");
    CHECK(three.limit == "the services together have as many as they may have (the daemon's max-instances)");
    CHECK(three.instances == 3);
    CHECK(three.unused == 0);
    two.stopped(1);
    CHECK(three.tick() == "start i2 for c2");
    one.stopped(1);
    CHECK(three.tick() == "start i3 for c3");
    CHECK(budget.used() == 3);
}

TEST_CASE("pool state: an instance that becomes unused makes room for who waits in another pool")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::refuse), &budget), other(with(WhenFull::queue), &budget);
    one.served("ann");
    CHECK(other.acquire("bob") == "");
    CHECK(one.release(1) == "stop i1 culled");
    one.stopped(1);
    CHECK(other.tick() == "start i1 for c1");
}

TEST_CASE("pool state: a warm instance of another pool makes room when no other is unused, and starts again later")
{
    InstanceBudget budget(2);
    PoolScript one(with(WhenFull::refuse, 1), &budget), other(with(WhenFull::refuse), &budget);
    one.fill_warm();
    one.ready(1);
    other.served("ann");
    CHECK(other.acquire("bob") == "");
    CHECK(one.tick() == "stop i1 culled");
    CHECK(one.stopped(1) == "");
    CHECK(other.tick() == "start i2 for c2");
    CHECK(one.tick() == "");
    other.ready(2);
    other.died(2);
    other.stopped(2);
    CHECK(one.tick() == "start i2 warm");
}

TEST_CASE("pool state: the room of an instance that a pool culls is for the client that it was culled for")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::cull_oldest), &budget), other(with(WhenFull::queue), &budget);
    one.served("ann");
    CHECK(other.acquire("bob") == "");
    CHECK(one.acquire("cat") == "revoke i1 culled, stop i1 culled");
    CHECK(one.stopped(1) == "start i2 for c2");
}

TEST_CASE("pool state: a pool that goes away gives its turn to the next")
{
    InstanceBudget budget(1);
    PoolScript one(with(WhenFull::queue), &budget), other(with(WhenFull::queue), &budget);
    one.served("ann");
    {
        PoolScript closed(with(WhenFull::queue), &budget);
        closed.acquire("bob");
        other.acquire("cat");
        closed.close();
    }
    one.died(1);
    one.stopped(1);
    CHECK(other.tick() == "start i1 for c1");
}

TEST_CASE("pool state: other pools stop no more unused instances than one that waits may have itself")
{
    InstanceBudget budget(3);
    auto options = with(WhenFull::queue);
    options.max_instances = 2;
    PoolScript one(options, &budget), other(with(WhenFull::refuse), &budget);
    one.served("ann");
    other.served("bob");
    other.served("cat");
    for (const auto* who : {"dan", "eve", "fay"})
        CHECK(one.acquire(who) == "");
    CHECK(other.release(1) == "stop i1 culled");
    CHECK(other.release(2) == "");
    other.stopped(1);
    CHECK(one.tick() == "start i2 for c2");
    CHECK(other.acquire("cat") == "grant c3 i2");
}
