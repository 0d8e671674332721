// SPDX-License-Identifier: MIT
// A reset by the owner, and the end of the pool.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

/// So many instances, of which one starts at a time; all other clients wait.
PoolOptions one_by_one(std::size_t instances)
{
    auto options = unlimited();
    options.max_starting = 1;
    options.max_instances = instances;
    options.when_full = WhenFull::queue;
    return options;
}

}  // namespace

TEST_CASE("pool state: a reset stops everything of its owner, and the fresh instance starts only then")
{
    PoolScript pool;
    pool.served("ann/1");
    pool.served("ann/2");
    pool.served("bob/1");
    pool.acquire("ann/3");
    CHECK(pool.acquire("ann/0", true) == "refuse c4 reset, stop i4 reset by owner, revoke i2 reset by owner, "
                                         "stop i2 reset by owner, revoke i1 reset by owner, stop i1 reset by owner");
    CHECK(pool.stopped(2) == "");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.stopped(4) == "start i5 for c5");
    CHECK(pool.ready(5) == "grant c5 i5");
    CHECK(pool.acquire("bob/1") == "grant c6 i3");
}

TEST_CASE("pool state: a reset of nothing starts at once")
{
    PoolScript pool;
    CHECK(pool.acquire("ann", true) == "start i1 for c1");
    CHECK(pool.ready(1) == "grant c1 i1");
    CHECK(pool.acquire("ann", true) == "revoke i1 reset by owner, stop i1 reset by owner");
    CHECK(pool.stopped(1) == "start i2 for c2");
}

TEST_CASE("pool state: two resets in a row: the first client is refused or served, never lost")
{
    SUBCASE("the second comes while the first still waits for the stop: both get the fresh instance")
    {
        PoolScript pool;
        pool.served("ann");
        pool.acquire("ann", true);
        CHECK(pool.acquire("ann", true) == "");
        CHECK(pool.stopped(1) == "start i2 for c2");
        CHECK(pool.ready(2) == "grant c2 i2, grant c3 i2");
    }
    SUBCASE("the second comes while the fresh one starts")
    {
        PoolScript pool;
        pool.acquire("ann", true);
        CHECK(pool.acquire("ann", true) == "refuse c1 reset, stop i1 reset by owner");
        CHECK(pool.stopped(1) == "start i2 for c2");
    }
}

TEST_CASE("pool state: a reset takes the owner's starts that wait for their turn, and their room")
{
    PoolScript pool(one_by_one(2));
    pool.acquire("bob");
    pool.acquire("ann/1");  // has room, may not start yet
    pool.acquire("cat");    // waits for room
    CHECK(pool.reset_owner("ann") == "refuse c2 reset");
    CHECK(pool.ready(1) == "grant c1 i1, start i2 for c3");
}

TEST_CASE("pool state: a reset by who waits in the queue already still waits for what must go first")
{
    PoolScript pool(one_by_one(3));
    pool.served("ann/1");
    CHECK(pool.acquire("bob") == "start i2 for c2");
    pool.acquire("ann/2");  // has room, may not start yet
    pool.acquire("ann/3");  // waits for room
    CHECK(pool.acquire("ann/3", true) == "refuse c3 reset, revoke i1 reset by owner, stop i1 reset by owner");
    CHECK(pool.ready(2) == "grant c2 i2");
    CHECK(pool.stopped(1) == "start i3 for c4");
}

TEST_CASE("pool state: a client that waits in the queue keeps waiting when its owner resets")
{
    auto options = unlimited();
    options.max_instances = 1;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    pool.served("bob");
    pool.acquire("ann/1");
    CHECK(pool.reset_owner("ann") == "");
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 for c2");
}

TEST_CASE("pool state: an owner that is removed loses its instances and its places in the queue, and nobody else does")
{
    auto options = unlimited();
    options.max_instances = 2;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    pool.served("ann/1");
    pool.served("bob/1");
    pool.acquire("ann/2");
    pool.acquire("ann/2");
    pool.acquire("cat");
    pool.acquire("ann/3");
    CHECK(pool.remove_owner("ann") == "refuse c3 reset, refuse c4 reset, refuse c6 reset, revoke i1 reset by owner, "
                                      "stop i1 reset by owner");
    CHECK(pool.remove_owner("dan") == "");
    CHECK(pool.state.queued() == 1);
    CHECK(pool.stopped(1) == "start i3 for c5");
}

TEST_CASE("pool state: a reset client competes for room like any other, and whoever leaves is forgotten")
{
    auto options = unlimited();
    options.max_instances = 1;
    PoolScript pool(options);
    pool.served("ann");
    SUBCASE("its own room comes free")
    {
        CHECK(pool.acquire("ann", true) == "revoke i1 reset by owner, stop i1 reset by owner");
        CHECK(pool.acquire("bob") == "refuse c3 full");
        CHECK(pool.stopped(1) == "start i2 for c2");
    }
    SUBCASE("it leaves before")
    {
        pool.acquire("ann", true);
        CHECK(pool.abandon(2) == "");
        CHECK(pool.stopped(1) == "");
        CHECK(pool.state.empty());
    }
    SUBCASE("an owner without instances") { CHECK(pool.acquire("bob", true) == "refuse c2 full"); }
}

TEST_CASE("pool state: drain lets sessions finish and refuses newcomers")
{
    auto options = unlimited();
    options.max_starting = 1;
    PoolScript pool(options);
    pool.served("ann");
    pool.served("bob");
    pool.acquire("bob");
    pool.release(1);
    pool.acquire("cat");
    pool.acquire("dan");
    CHECK(pool.drain() == "stop i1 stopped");
    CHECK(pool.acquire("bob") == "refuse c6 stopping");
    CHECK(pool.acquire("eve") == "refuse c7 stopping");
    CHECK(pool.ready(3) == "grant c4 i3, start i4 for c5");
    CHECK(pool.release(3) == "stop i3 stopped");
    CHECK(pool.release(2) == "");
    CHECK(pool.release(2) == "stop i2 stopped");
    CHECK(pool.start_failed(4) == "refuse c5 start failed");
    CHECK(pool.drain() == "");
    for (const int instance : {1, 2, 3})
        pool.stopped(instance);
    CHECK(pool.state.empty());
}

TEST_CASE("pool state: close ends everything in every state, after a drain too")
{
    for (const bool drained : {false, true}) {
        auto options = unlimited();
        options.max_starting = 1;
        options.max_instances = 4;
        options.when_full = WhenFull::queue;
        options.linger = 0s;
        PoolScript pool(options);
        pool.served("ann");
        pool.served("bob");
        CHECK(pool.release(1) == "stop i1 unused");  // stopping
        pool.acquire("cat");                         // starting
        pool.acquire("dan");                         // may not start yet
        pool.acquire("eve");                         // queued
        if (drained)
            CHECK(pool.drain() == "");
        CHECK(pool.close() == "revoke i2 stopped, stop i2 stopped, refuse c3 stopping, stop i3 stopped, "
                              "refuse c4 stopping, refuse c5 stopping");
        CHECK(pool.close() == "");
        CHECK(pool.acquire("fay") == "refuse c6 stopping");
        for (const int instance : {1, 2, 3})
            CHECK(pool.stopped(instance) == "");
        CHECK(pool.state.empty());
        CHECK(pool.state.queued() == 0);
    }
}

TEST_CASE("pool state: the queue still moves while the pool drains")
{
    auto options = unlimited();
    options.max_instances = 1;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("bob");
    CHECK(pool.drain() == "");
    CHECK(pool.release(1) == "stop i1 stopped");
    CHECK(pool.stopped(1) == "start i2 for c2");
}
