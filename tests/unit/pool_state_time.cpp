// SPDX-License-Identifier: MIT
// Everything that happens because time passes.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

TEST_CASE("pool state: a start that takes too long is given up")
{
    auto options = unlimited();
    options.start_timeout = 30s;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.pass(10s);
    pool.acquire("ann");
    CHECK(pool.pass(19999ms) == "");
    CHECK(pool.pass(1ms) == "refuse c2 start timeout, refuse c1 start timeout, stop i1 start timeout");
    CHECK(pool.ready(1) == "");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.state.empty());
}

TEST_CASE("pool state: whoever waits too long for the turn of its start is refused, and gives up its room")
{
    auto options = unlimited();
    options.queue_timeout = 30s;
    options.max_starting = 1;
    options.max_instances = 2;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.acquire("bob");
    CHECK(pool.acquire("cat") == "refuse c3 full");
    pool.pass(10s);
    pool.acquire("bob");
    CHECK(pool.pass(20s - 1ms) == "");
    CHECK(pool.pass(1ms) == "refuse c4 queue timeout, refuse c2 queue timeout");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.pass(29s) == "");
    CHECK(pool.ready(1) == "grant c1 i1, start i2 for c5");
    CHECK(pool.pass(1h) == "");
}

TEST_CASE("pool state: the start is timed from the start, not from the wait for it")
{
    auto options = unlimited();
    options.start_timeout = 30s;
    options.max_starting = 1;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.acquire("bob");
    pool.pass(20s);
    CHECK(pool.ready(1) == "grant c1 i1, start i2 for c2");
    CHECK(pool.pass(29s) == "");
    CHECK(pool.pass(1s) == "refuse c2 start timeout, stop i2 start timeout");
}

TEST_CASE("pool state: an instance that was ready in time outlives the limit of its start")
{
    auto options = unlimited();
    options.start_timeout = 30s;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(10h) == "");
}

TEST_CASE("pool state: an instance lives for so long, used or not")
{
    auto options = unlimited();
    options.ttl = 20s;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.pass(5s);
    pool.ready(1);
    SUBCASE("used")
    {
        CHECK(pool.pass(14999ms) == "");
        CHECK(pool.acquire("ann") == "grant c2 i1");
        CHECK(pool.pass(1ms) == "revoke i1 expired, stop i1 expired");
    }
    SUBCASE("not")
    {
        pool.release(1);
        CHECK(pool.pass(15s) == "stop i1 expired");
    }
    CHECK(pool.acquire("ann").starts_with("start i2"));
}

TEST_CASE("pool state: linger runs from the last client's end")
{
    auto options = unlimited();
    options.linger = 5min;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("ann");
    CHECK(pool.pass(1h) == "");
    pool.release(1);
    CHECK(pool.pass(1h) == "");
    pool.release(1);
    CHECK(pool.pass(4min) == "");
    CHECK(pool.acquire("ann") == "grant c3 i1");
    CHECK(pool.pass(4min) == "");
    pool.release(1);
    CHECK(pool.pass(5min - 1ms) == "");
    CHECK(pool.pass(1ms) == "stop i1 unused");
}

TEST_CASE("pool state: without linger an instance goes with its last client")
{
    auto options = unlimited();
    options.linger = 0s;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("ann");
    CHECK(pool.release(1) == "");
    CHECK(pool.release(1) == "stop i1 unused");
}

TEST_CASE("pool state: idle is measured by bytes")
{
    auto options = unlimited();
    options.idle = 10min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(10min - 1ms) == "");
    SUBCASE("no byte since the client came")
    {
        CHECK(pool.pass(1ms) == "check i1");
        CHECK(pool.active(1, 1000h) == "revoke i1 idle, stop i1 idle");
    }
    SUBCASE("a byte puts the end off, by as much as it came later")
    {
        CHECK(pool.pass(1ms) == "check i1");
        CHECK(pool.active(1, 3min) == "");
        CHECK(pool.pass(7min - 1ms) == "");
        CHECK(pool.pass(1ms) == "check i1");
        CHECK(pool.active(1, 10min) == "revoke i1 idle, stop i1 idle");
    }
    SUBCASE("another client counts as a sign of life")
    {
        pool.acquire("ann");
        CHECK(pool.pass(10min - 1ms) == "");
        CHECK(pool.pass(1ms) == "check i1");
    }
    SUBCASE("unused it ends when idle or linger comes first")
    {
        pool.release(1);
        CHECK(pool.pass(10min - 1ms) == "");
        CHECK(pool.pass(1ms) == "stop i1 idle");
    }
    SUBCASE("an answer that comes after the client left changes nothing")
    {
        CHECK(pool.pass(1ms) == "check i1");
        pool.release(1);
        CHECK(pool.active(1, 10min) == "");
        CHECK(pool.pass(10min) == "stop i1 idle");
    }
}

TEST_CASE("pool state: without a limit nobody is asked about bytes")
{
    PoolScript pool;
    pool.served("ann");
    CHECK(pool.pass(1000h) == "");
    CHECK(pool.active(1, 500h) == "");
    CHECK_FALSE(pool.state.next_deadline());
}

TEST_CASE("pool state: time to live goes on while idle is being asked about")
{
    auto options = unlimited();
    options.idle = 10min;
    options.ttl = 15min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(10min) == "check i1");
    CHECK(pool.active(1, 0s) == "");
    CHECK(pool.pass(5min) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: clients that come and go arm no timers of their own")
{
    auto options = unlimited();
    options.linger = 1min;
    PoolScript pool(options);
    pool.served("ann");
    for (int i = 0; i < 600; ++i) {
        pool.release(1);
        pool.pass(100ms);
        REQUIRE(pool.acquire("ann").starts_with("grant"));
    }
    CHECK(pool.ticks <= 4);
    pool.release(1);
    CHECK(pool.pass(1min) == "stop i1 unused");
}

TEST_CASE("pool state: no tick is due when nothing can happen by time")
{
    PoolScript pool;
    CHECK_FALSE(pool.state.next_deadline());
    pool.acquire("ann");
    CHECK_FALSE(pool.state.next_deadline());
    pool.ready(1);
    CHECK_FALSE(pool.state.next_deadline());
    pool.release(1);
    CHECK(pool.state.next_deadline());
    pool.died(1);
    pool.stopped(1);
    CHECK_FALSE(pool.state.next_deadline());
}

TEST_CASE("pool state: ticks that come late or for nothing do no harm")
{
    auto options = unlimited();
    options.ttl = 10s;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.tick() == "");
    pool.now += 3h;
    CHECK(pool.tick() == "revoke i1 expired, stop i1 expired");
    CHECK(pool.tick() == "");
}

TEST_CASE("pool state: an adopted instance keeps its age and meets its clients")
{
    auto options = unlimited();
    options.ttl = 1h;
    options.linger = 5min;
    PoolScript pool(options);
    CHECK(pool.adopt("ann", 40min));
    SUBCASE("a returning client")
    {
        CHECK(pool.acquire("ann") == "grant c1 i1");
        CHECK(pool.pass(20min - 1ms) == "");
        CHECK(pool.pass(1ms) == "revoke i1 expired, stop i1 expired");
    }
    SUBCASE("nobody comes: it lingers from now on")
    {
        CHECK(pool.pass(5min - 1ms) == "");
        CHECK(pool.pass(1ms) == "stop i1 unused");
    }
    SUBCASE("it was over long ago")
    {
        CHECK(pool.adopt("bob", 100h));
        CHECK(pool.pass(0s) == "stop i2 expired");
    }
    SUBCASE("its identity has one already")
    {
        CHECK_FALSE(pool.adopt("ann", 1min));
        CHECK(pool.state.instances() == 1);
    }
    SUBCASE("a reset reaches it") { CHECK(pool.reset_owner("ann") == "stop i1 reset by owner"); }
}

TEST_CASE("pool state: what is adopted counts against the caps, even beyond them")
{
    auto options = unlimited();
    options.max_instances = 1;
    options.when_full = WhenFull::cull_oldest;
    InstanceBudget budget(1);
    PoolScript pool(options, &budget);
    CHECK(pool.adopt("ann", 2h));
    CHECK(pool.adopt("bob", 1h));
    CHECK(pool.state.instances() == 2);
    CHECK(budget.used() == 2);
    CHECK(pool.acquire("bob") == "grant c1 i2");
    CHECK(pool.acquire("cat") == "stop i1 culled");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.state.queued() == 1);
    pool.died(2);
    CHECK(pool.stopped(2) == "start i3 for c2");
    CHECK(budget.used() == 1);
}

TEST_CASE("pool state: sessions are warned before the time of their instance is over, and only then")
{
    auto options = unlimited();
    options.ttl = 1h;
    options.warn_before = 5min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(55min - 1ms) == "");
    CHECK(pool.pass(1ms) == "warn i1 300s");
    CHECK(pool.pass(2min) == "");
    // Who comes later hears of it too.
    CHECK(pool.acquire("ann") == "grant c2 i1, warn i1 180s");
    CHECK(pool.pass(3min) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: who was warned is warned again when the time was extended")
{
    auto options = unlimited();
    options.ttl = 1h;
    options.warn_before = 5min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(55min) == "warn i1 300s");
    CHECK(pool.extend(1, 30min) == "");
    CHECK(pool.state.deadline_of(pool.slot(1)) == pool.now + 30min);
    CHECK(pool.pass(25min) == "warn i1 300s");
    CHECK(pool.pass(5min) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: who was warned is warned again when the owner extended the time to live")
{
    auto options = unlimited();
    options.ttl = 1h;
    options.extension = 30min;
    options.warn_before = 5min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(55min) == "warn i1 300s");
    CHECK(pool.state.extend_ttl(pool.now, pool.slot(1)).answer == instancer::Extension::Answer::granted);
    CHECK(pool.pass(30min - 1ms) == "");
    CHECK(pool.pass(1ms) == "warn i1 300s");
    CHECK(pool.pass(5min) == "revoke i1 expired, stop i1 expired");
}

TEST_CASE("pool state: sessions are warned before silence ends their instance, and a byte puts that off")
{
    auto options = unlimited();
    options.idle = 10min;
    options.warn_before = 2min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(8min - 1ms) == "");
    CHECK(pool.pass(1ms) == "check i1");
    SUBCASE("silent")
    {
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
        CHECK(pool.pass(2min) == "check i1");
        CHECK(pool.active(1, 10min) == "revoke i1 idle, stop i1 idle");
    }
    SUBCASE("a byte had passed")
    {
        CHECK(pool.active(1, 3min) == "");
        CHECK(pool.pass(5min - 1ms) == "");
        CHECK(pool.pass(1ms) == "check i1");
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
    }
    SUBCASE("a byte passes after the warning, and there is another one")
    {
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
        CHECK(pool.pass(2min) == "check i1");
        CHECK(pool.active(1, 1min) == "");
        CHECK(pool.pass(7min) == "check i1");
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
    }
    SUBCASE("its client left, and the next one is warned in its turn")
    {
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
        pool.release(1);
        CHECK(pool.acquire("ann") == "grant c2 i1");
        CHECK(pool.pass(8min) == "check i1");
        CHECK(pool.active(1, 8min) == "warn i1 120s idle");
    }
}

TEST_CASE("pool state: of time to live and silence the next end is told, and silence that is short is not")
{
    auto options = unlimited();
    options.ttl = 15min;
    options.idle = 10min;
    options.warn_before = 6min;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(4min) == "check i1");
    CHECK(pool.active(1, 4min) == "warn i1 360s idle");
    CHECK(pool.active(1, 0s) == "");
    CHECK(pool.pass(5min) == "check i1");
    CHECK(pool.active(1, 5min) == "warn i1 300s idle");
    CHECK(pool.active(1, 0s) == "warn i1 360s");
    CHECK(pool.pass(6min) == "revoke i1 expired, stop i1 expired");

    options.ttl = 0s;
    options.warn_before = 10min;
    PoolScript other(options);
    other.served("ann");
    CHECK(other.pass(10min) == "check i1");
    CHECK(other.active(1, 10min) == "revoke i1 idle, stop i1 idle");
}
