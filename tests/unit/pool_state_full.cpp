// SPDX-License-Identifier: MIT
// Caps, and what happens when one is reached.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

PoolOptions capped(std::size_t instances, WhenFull when_full, std::size_t per_owner = 0)
{
    auto options = unlimited();
    options.max_instances = instances;
    options.max_per_owner = per_owner;
    options.when_full = when_full;
    return options;
}

}  // namespace

TEST_CASE("pool state: a full service refuses, but not those whose instance runs")
{
    PoolScript pool(capped(2, WhenFull::refuse));
    pool.served("ann");
    CHECK(pool.acquire("bob") == "start i2 for c2");
    CHECK(pool.acquire("cat") == "refuse c3 full");
    CHECK(pool.limit == "the service has as many as it may have (max-instances)");
    CHECK(pool.acquire("ann") == "grant c4 i1");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.state.instances() == 2);
}

TEST_CASE("pool state: a full owner is refused while others are served")
{
    PoolScript pool(capped(0, WhenFull::refuse, 1));
    pool.served("ann/1");
    CHECK(pool.acquire("ann/2") == "refuse c2 owner full");
    CHECK(pool.limit == "its owner has as many as one may have (max-per-owner)");
    CHECK(pool.acquire("bob/2") == "start i2 for c3");
}

TEST_CASE("pool state: room that is coming free is waited for, under every policy")
{
    for (const auto policy : {WhenFull::refuse, WhenFull::queue, WhenFull::cull_oldest, WhenFull::cull_idle}) {
        auto options = capped(2, policy);
        options.queue_size = 0;
        options.linger = 0s;
        PoolScript pool(options);
        pool.served("ann");
        pool.served("bob");
        CHECK(pool.release(1) == "stop i1 unused");
        CHECK(pool.acquire("cat") == "");
        CHECK(pool.stopped(1) == "start i3 for c3");
    }
}

TEST_CASE("pool state: more clients than rooms coming free are refused")
{
    auto options = capped(2, WhenFull::refuse);
    options.linger = 0s;
    PoolScript pool(options);
    pool.served("ann");
    pool.served("bob");
    pool.release(1);
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.acquire("dan") == "refuse c4 full");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.stopped(1) == "start i3 for c3");
}

TEST_CASE("pool state: the oldest is culled, and its clients hear why")
{
    PoolScript pool(capped(2, WhenFull::cull_oldest));
    pool.served("ann");
    pool.pass(1s);
    pool.served("bob");
    CHECK(pool.acquire("cat") == "revoke i1 culled, stop i1 culled");
    CHECK(pool.state.instances() == 2);
    CHECK(pool.release(1) == "");
    CHECK(pool.stopped(1) == "start i3 for c3");
    CHECK(pool.acquire("dan") == "revoke i2 culled, stop i2 culled");
}

TEST_CASE("pool state: each newcomer costs one instance its life, not more")
{
    PoolScript pool(capped(2, WhenFull::cull_oldest));
    pool.served("ann");
    pool.served("bob");
    CHECK(pool.acquire("cat") == "revoke i1 culled, stop i1 culled");
    CHECK(pool.acquire("dan") == "revoke i2 culled, stop i2 culled");
    CHECK(pool.acquire("eve") == "refuse c5 full");
    CHECK(pool.stopped(2) == "start i3 for c3");
    CHECK(pool.stopped(1) == "start i4 for c4");
}

TEST_CASE("pool state: an instance that still starts can be the oldest; its clients are refused")
{
    PoolScript pool(capped(1, WhenFull::cull_oldest));
    CHECK(pool.acquire("ann") == "start i1 for c1");
    CHECK(pool.acquire("bob") == "refuse c1 culled, stop i1 culled");
    CHECK(pool.ready(1) == "");
    CHECK(pool.stopped(1) == "start i2 for c2");
    CHECK(pool.ready(2) == "grant c2 i2");
}

TEST_CASE("pool state: a full owner competes with its own instances only")
{
    PoolScript pool(capped(0, WhenFull::cull_oldest, 2));
    pool.served("bob/1");
    pool.pass(1s);
    pool.served("ann/1");
    pool.pass(1s);
    pool.served("ann/2");
    CHECK(pool.acquire("ann/3") == "revoke i2 culled, stop i2 culled");
    CHECK(pool.acquire("bob/2") == "start i4 for c5");
    CHECK(pool.stopped(2) == "start i5 for c4");
}

TEST_CASE("pool state: the longest idle is culled: unused ones first, then by the last byte")
{
    PoolScript pool(capped(3, WhenFull::cull_idle));
    pool.served("ann");
    pool.served("bob");
    pool.served("cat");
    pool.pass(1min);
    CHECK(pool.release(2) == "");
    pool.pass(1min);
    CHECK(pool.release(1) == "");
    CHECK(pool.acquire("dan") == "stop i2 culled");
    CHECK(pool.acquire("eve") == "stop i1 culled");
    pool.stopped(1);
    pool.stopped(2);
    pool.ready(4);
    pool.ready(5);
    // All are in use: ann and bob are gone, cat speaks, dan spoke last, eve was silent for longest.
    CHECK(pool.wants_activity("fay") == "i3");
    CHECK(pool.wants_activity("cat") == "none");
    pool.pass(10min);
    CHECK(pool.active(3, 1s) == "");
    CHECK(pool.active(4, 5s) == "");
    CHECK(pool.active(5, 9min) == "");
    CHECK(pool.acquire("fay") == "revoke i5 culled, stop i5 culled");
}

TEST_CASE("pool state: who is silent for longest matters only to a full pool under that policy")
{
    PoolScript culling(capped(2, WhenFull::cull_idle, 1));
    culling.served("ann/1");
    CHECK(culling.wants_activity("bob") == "none");
    CHECK(culling.wants_activity("ann/2") == "i1");
    culling.pass(1s);
    culling.served("bob");
    CHECK(culling.wants_activity("cat") == "i1");
    culling.release(2);
    CHECK(culling.wants_activity("cat") == "none");

    PoolScript queueing(capped(1, WhenFull::queue));
    queueing.served("ann");
    CHECK(queueing.wants_activity("bob") == "none");
}

TEST_CASE("pool state: the last bytes are asked for of those alone that may have been silent for longest")
{
    PoolScript pool(capped(4, WhenFull::cull_idle));
    for (const auto* who : {"ann", "bob", "cat", "dan"}) {
        pool.served(who);
        pool.pass(1min);
    }
    // By what is known ann is first; she spoke, and bob is.
    CHECK(pool.wants_activity("eve") == "i1");
    pool.active(1, 30s);
    CHECK(pool.wants_activity("eve") == "i2");
    pool.active(2, 1h);
    CHECK(pool.wants_activity("eve") == "none");
    CHECK(pool.acquire("eve") == "revoke i2 culled, stop i2 culled");
    // What was heard within the last second holds.
    pool.stopped(2);
    pool.ready(5);
    CHECK(pool.wants_activity("fay") == "i3");
    pool.active(3, 1s);
    CHECK(pool.wants_activity("fay") == "i4");
    pool.active(4, 1s);
    CHECK(pool.wants_activity("fay") == "none");
    CHECK(pool.acquire("fay") == "revoke i1 culled, stop i1 culled");
}

TEST_CASE("pool state: an instance that starts is not idle")
{
    PoolScript pool(capped(1, WhenFull::cull_idle));
    pool.acquire("ann");
    CHECK(pool.acquire("bob") == "refuse c2 full");
}

TEST_CASE("pool state: the queue is first come, first served")
{
    PoolScript pool(capped(1, WhenFull::queue));
    pool.served("ann");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.state.queued() == 3);
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 for c2");
    CHECK(pool.ready(2) == "grant c2 i2, grant c4 i2");
    pool.died(2);
    CHECK(pool.stopped(2) == "start i3 for c3");
    CHECK(pool.state.queued() == 0);
}

TEST_CASE("pool state: a client whose owner is full lets the others pass, and keeps its place")
{
    PoolScript pool(capped(3, WhenFull::queue, 1));
    pool.served("ann/1");
    pool.served("bob");
    pool.served("cat");
    CHECK(pool.acquire("ann/2") == "");
    CHECK(pool.acquire("dan") == "");
    CHECK(pool.acquire("eve") == "");
    pool.died(2);
    CHECK(pool.stopped(2) == "start i4 for c5");
    pool.died(1);
    CHECK(pool.stopped(1) == "start i5 for c4");
    pool.died(3);
    CHECK(pool.stopped(3) == "start i6 for c6");
}

TEST_CASE("pool state: the queue has a size, counted in clients")
{
    auto options = capped(1, WhenFull::queue);
    SUBCASE("of two")
    {
        options.queue_size = 2;
        PoolScript pool(options);
        pool.served("ann");
        CHECK(pool.acquire("bob") == "");
        CHECK(pool.acquire("bob") == "");
        CHECK(pool.acquire("bob") == "refuse c4 full");
        CHECK(pool.abandon(2) == "");
        CHECK(pool.acquire("cat") == "");
        CHECK(pool.acquire("dan") == "refuse c6 full");
    }
    SUBCASE("of none")
    {
        options.queue_size = 0;
        PoolScript pool(options);
        pool.served("ann");
        CHECK(pool.acquire("bob") == "refuse c2 full");
    }
}

TEST_CASE("pool state: nobody fills the queue alone: the last of whoever has most there makes room")
{
    auto options = capped(1, WhenFull::queue);
    options.queue_size = 3;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("bob/1");
    pool.acquire("bob/2");
    pool.acquire("bob/2");
    CHECK(pool.acquire("cat") == "refuse c4 full");
    CHECK(pool.acquire("dan") == "refuse c3 full");
    CHECK(pool.acquire("eve") == "refuse c7 full");
    CHECK(pool.acquire("dan") == "refuse c8 full");
    CHECK(pool.acquire("bob/3") == "refuse c9 full");
    CHECK(pool.state.queued() == 3);
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 for c2");
    pool.start_failed(2);
    pool.ready(3);
    pool.died(3);
    CHECK(pool.stopped(3) == "start i4 for c6");
}

TEST_CASE("pool state: in the queue a second client of an identity displaces nobody who has no more")
{
    auto options = capped(1, WhenFull::queue);
    options.queue_size = 3;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("bob");
    pool.acquire("bob");
    pool.acquire("cat");
    CHECK(pool.acquire("cat") == "refuse c5 full");
    CHECK(pool.acquire("bob") == "refuse c6 full");
}

TEST_CASE("pool state: whoever waits for too long is refused")
{
    auto options = capped(1, WhenFull::queue);
    options.queue_timeout = 30s;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.pass(10s) == "");
    pool.acquire("bob");
    CHECK(pool.pass(10s) == "");
    pool.acquire("bob");
    pool.acquire("cat");
    CHECK(pool.pass(19s) == "");
    CHECK(pool.pass(1s) == "refuse c2 queue timeout");
    CHECK(pool.state.queued() == 2);
    CHECK(pool.pass(10s) == "refuse c3 queue timeout, refuse c4 queue timeout");
    CHECK(pool.state.queued() == 0);
    pool.died(1);
    CHECK(pool.stopped(1) == "");
    CHECK(pool.state.empty());
}

TEST_CASE("pool state: the limit of the queue does not touch whoever left it in time")
{
    auto options = capped(1, WhenFull::queue);
    options.queue_timeout = 30s;
    PoolScript pool(options);
    pool.served("ann");
    pool.acquire("bob");
    pool.pass(29s);
    pool.died(1);
    CHECK(pool.stopped(1) == "start i2 for c2");
    CHECK(pool.pass(1h) == "");
    CHECK(pool.ready(2) == "grant c2 i2");
}

TEST_CASE("pool state: who has most in the queue gets no more of the room than others: owners take turns")
{
    PoolScript pool(capped(1, WhenFull::queue));
    pool.served("ann");
    for (const auto* who : {"bob/1", "bob/2", "bob/3", "cat", "dan"})
        CHECK(pool.acquire(who) == "");
    std::string order;
    for (int instance = 1; instance <= 5; ++instance) {
        pool.died(instance);
        order += pool.stopped(instance) + "; ";
        pool.ready(instance + 1);
    }
    CHECK(order == "start i2 for c2; start i3 for c5; start i4 for c6; start i5 for c3; start i6 for c4; ");
}

TEST_CASE(
    "pool state: an instance without clients makes room before anybody is refused or culled, longest unused first")
{
    for (const auto policy : {WhenFull::refuse, WhenFull::queue, WhenFull::cull_oldest, WhenFull::cull_idle}) {
        CAPTURE(static_cast<int>(policy));
        auto options = capped(3, policy);
        options.queue_size = 1;
        PoolScript pool(options);
        for (const auto* who : {"ann", "bob", "cat"})
            pool.served(who);
        pool.release(3);
        pool.pass(1s);
        pool.release(2);
        CHECK(pool.acquire("dan") == "stop i3 culled");
        CHECK(pool.acquire("eve") == "stop i2 culled");
        CHECK(pool.stopped(3) == "start i4 for c4");
        CHECK(pool.stopped(2) == "start i5 for c5");
        CHECK(pool.acquire("ann") == "grant c6 i1");
    }
}

TEST_CASE("pool state: an instance whose last client leaves makes room for who waits, and for nobody else")
{
    PoolScript pool(capped(2, WhenFull::queue));
    pool.served("ann");
    pool.served("bob");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.release(1) == "stop i1 culled");
    CHECK(pool.release(2) == "");
    CHECK(pool.stopped(1) == "start i3 for c3");
    CHECK(pool.acquire("bob") == "grant c4 i2");
}

TEST_CASE("pool state: an owner's unused instance makes room for its next one; those of others stay")
{
    PoolScript pool(capped(0, WhenFull::refuse, 2));
    pool.served("bob");
    pool.release(1);
    pool.served("ann/1");
    pool.served("ann/2");
    CHECK(pool.acquire("ann/3") == "refuse c4 owner full");
    pool.release(3);
    pool.pass(1s);
    pool.release(2);
    CHECK(pool.acquire("ann/3") == "stop i3 culled");
    CHECK(pool.stopped(3) == "start i4 for c5");
}

TEST_CASE("pool state: nobody's instance is stopped for who could not use its room")
{
    PoolScript pool(capped(2, WhenFull::queue, 1));
    pool.served("ann/1");
    pool.served("bob");
    CHECK(pool.acquire("ann/2") == "");
    CHECK(pool.release(2) == "");
    CHECK(pool.acquire("cat") == "stop i2 culled");
    CHECK(pool.stopped(2) == "start i3 for c4");
}

TEST_CASE("pool state: a refusal says how many instances there are and how many of them are unused")
{
    PoolScript pool(capped(3, WhenFull::refuse, 2));
    pool.served("ann/1");
    pool.served("ann/2");
    pool.served("bob");
    pool.release(3);
    CHECK(pool.acquire("ann/3") == "refuse c4 owner full");
    CHECK(pool.limit == "its owner has as many as one may have (max-per-owner)");
    CHECK(pool.instances == 2);
    CHECK(pool.unused == 0);
    pool.acquire("bob");
    CHECK(pool.acquire("cat") == "refuse c6 full");
    CHECK(pool.instances == 3);
    CHECK(pool.unused == 0);
}

TEST_CASE("pool state: a client that waited for too long hears how many instances were unused")
{
    auto options = capped(2, WhenFull::queue, 1);
    options.queue_timeout = 10s;
    PoolScript pool(options);
    pool.served("ann/1");
    pool.served("bob");
    pool.release(2);
    CHECK(pool.acquire("ann/2") == "");
    CHECK(pool.pass(10s) == "refuse c3 queue timeout");
    CHECK(pool.instances == 2);
    CHECK(pool.unused == 1);
}
