// SPDX-License-Identifier: MIT
// How clients and instances find each other, and what a client that leaves leaves behind.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

TEST_CASE("pool state: many clients of one identity share one start, and ready serves them all")
{
    PoolScript pool;
    CHECK(pool.acquire("ann") == "start i1 for c1");
    CHECK(pool.acquire("ann") == "");
    CHECK(pool.acquire("ann") == "");
    CHECK(pool.ready(1) == "grant c1 i1, grant c2 i1, grant c3 i1");
    CHECK(pool.acquire("ann") == "grant c4 i1");
    CHECK(pool.state.instances() == 1);
}

TEST_CASE("pool state: another owner or another identifier is another instance")
{
    PoolScript pool;
    CHECK(pool.acquire("ann/1") == "start i1 for c1");
    CHECK(pool.acquire("ann/2") == "start i2 for c2");
    CHECK(pool.acquire("bob/1") == "start i3 for c3");
    CHECK(pool.ready(2) == "grant c2 i2");
    CHECK(pool.ready(1) == "grant c1 i1");
    CHECK(pool.ready(3) == "grant c3 i3");
}

TEST_CASE("pool state: a client that returns while its instance lingers meets it again")
{
    PoolScript pool;
    pool.served("ann");
    CHECK(pool.release(1) == "");
    CHECK(pool.pass(59min) == "");
    CHECK(pool.acquire("ann") == "grant c2 i1");
}

TEST_CASE("pool state: a client would start an instance where there is none that it would join")
{
    auto options = unlimited();
    options.max_instances = 2;
    options.warm = 1;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    const auto would_start = [&pool](std::string_view who) { return pool.state.would_start(identity(who)); };
    CHECK(pool.fill_warm() == "start i1 warm");
    CHECK(pool.ready(1) == "");
    CHECK(would_start("ann"));
    pool.acquire("ann");
    CHECK_FALSE(would_start("ann"));
    CHECK(would_start("ann/2"));
    CHECK(pool.state.would_start(identity("ann"), true));
    pool.acquire("bob");
    pool.acquire("cat");
    CHECK(pool.state.queued() == 1);
    CHECK_FALSE(would_start("cat"));
    CHECK(would_start("dan"));
    pool.died(1);
    CHECK(would_start("ann"));
    pool.state.drain(pool.now);
    CHECK_FALSE(would_start("dan"));
}

TEST_CASE("pool state: an identity that cannot come back loses its instance at once")
{
    PoolScript pool;
    pool.served("?ann");
    CHECK(pool.release(1) == "stop i1 unused");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.state.empty());
}

TEST_CASE("pool state: an instance of single use serves one client")
{
    auto options = unlimited();
    options.single_use = true;
    PoolScript pool(options);
    CHECK(pool.acquire("ann/1") == "start i1 for c1");
    CHECK(pool.acquire("ann/1") == "");
    CHECK(pool.ready(1) == "grant c1 i1, refuse c2 full");
    CHECK(pool.release(1) == "stop i1 unused");
}

TEST_CASE("pool state: an instance that is being stopped is not found again; the next client gets a fresh one")
{
    auto options = unlimited();
    options.linger = 0s;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.release(1) == "stop i1 unused");
    CHECK(pool.acquire("ann") == "start i2 for c2");
    CHECK(pool.ready(2) == "grant c2 i2");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.acquire("ann") == "grant c3 i2");
}

TEST_CASE("pool state: whoever leaves before being served leaves nothing behind")
{
    SUBCASE("while the instance starts: the last one to leave stops it")
    {
        PoolScript pool;
        pool.acquire("ann");
        pool.acquire("ann");
        CHECK(pool.abandon(1) == "");
        CHECK(pool.abandon(2) == "stop i1 abandoned");
        CHECK(pool.abandon(2) == "");
        CHECK(pool.stopped(1) == "");
        CHECK(pool.state.empty());
    }
    SUBCASE("while it starts, but another one stays")
    {
        PoolScript pool;
        pool.acquire("ann");
        pool.acquire("ann");
        CHECK(pool.abandon(1) == "");
        CHECK(pool.ready(1) == "grant c2 i1");
    }
    SUBCASE("with room, but before the start was permitted")
    {
        auto options = unlimited();
        options.max_starting = 1;
        PoolScript pool(options);
        pool.acquire("ann");
        CHECK(pool.acquire("bob") == "");
        CHECK(pool.state.instances() == 2);
        CHECK(pool.abandon(2) == "");
        CHECK(pool.state.instances() == 1);
        CHECK(pool.ready(1) == "grant c1 i1");
    }
    SUBCASE("in the queue")
    {
        auto options = unlimited();
        options.max_instances = 1;
        options.when_full = WhenFull::queue;
        PoolScript pool(options);
        pool.acquire("ann");
        CHECK(pool.acquire("bob") == "");
        CHECK(pool.state.queued() == 1);
        CHECK(pool.abandon(2) == "");
        CHECK(pool.state.queued() == 0);
        pool.ready(1);
        CHECK(pool.died(1) == "revoke i1 exited, stop i1 exited");
        CHECK(pool.stopped(1) == "");
        CHECK(pool.state.empty());
    }
    SUBCASE("with a session: abandon is too late and changes nothing")
    {
        PoolScript pool;
        pool.served("ann");
        CHECK(pool.abandon(1) == "");
        CHECK(pool.acquire("ann") == "grant c2 i1");
    }
    SUBCASE("after being refused, and clients that never were")
    {
        PoolScript pool;
        pool.acquire("ann");
        CHECK(pool.start_failed(1) == "refuse c1 start failed");
        CHECK(pool.abandon(1) == "");
        CHECK(pool.abandon(77) == "");
        CHECK(pool.state.empty());
    }
}

TEST_CASE("pool state: room that a leaving client gives up goes to the next in line")
{
    auto options = unlimited();
    options.max_starting = 1;
    options.max_instances = 2;
    options.when_full = WhenFull::queue;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.acquire("bob");               // has room, may not start yet
    CHECK(pool.acquire("cat") == "");  // waits for room
    CHECK(pool.abandon(2) == "");
    CHECK(pool.state.queued() == 0);
    CHECK(pool.ready(1) == "grant c1 i1, start i2 for c3");
}

TEST_CASE("pool state: starts that may run at once are limited, and those that wait keep their order")
{
    auto options = unlimited();
    options.max_starting = 2;
    PoolScript pool(options);
    CHECK(pool.acquire("ann") == "start i1 for c1");
    CHECK(pool.acquire("bob") == "start i2 for c2");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.acquire("dan") == "");
    CHECK(pool.acquire("cat") == "");
    CHECK(pool.ready(2) == "grant c2 i2, start i3 for c3");
    CHECK(pool.start_failed(1) == "refuse c1 start failed, start i4 for c4");
    CHECK(pool.ready(3) == "grant c3 i3, grant c5 i3");
    CHECK(pool.ready(4) == "grant c4 i4");
}

TEST_CASE("pool state: a start that was given up counts until it is undone")
{
    auto options = unlimited();
    options.max_starting = 1;
    PoolScript pool(options);
    pool.acquire("ann");
    CHECK(pool.abandon(1) == "stop i1 abandoned");
    CHECK(pool.acquire("bob") == "");
    CHECK(pool.stopped(1) == "start i2 for c2");
    CHECK(pool.ready(2) == "grant c2 i2");
    CHECK(pool.reset_owner("bob") == "revoke i2 reset by owner, stop i2 reset by owner");
    CHECK(pool.acquire("cat") == "start i3 for c3");
}

TEST_CASE("pool state: a start that fails refuses everybody who waited for it, with the reason")
{
    PoolScript pool;
    pool.acquire("ann");
    pool.acquire("ann");
    CHECK(pool.start_failed(1, Errc::backend_unavailable) == "refuse c2 unavailable, refuse c1 unavailable");
    CHECK(pool.state.empty());
    CHECK(pool.acquire("ann") == "start i2 for c3");
}

TEST_CASE("pool state: an instance that ends by itself is noticed in every state")
{
    PoolScript pool;
    SUBCASE("while it starts: its clients are refused")
    {
        pool.acquire("ann");
        CHECK(pool.died(1) == "refuse c1 start failed, stop i1 start failed");
    }
    SUBCASE("with clients: their sessions are ended")
    {
        pool.served("ann");
        CHECK(pool.died(1) == "revoke i1 exited, stop i1 exited");
        CHECK(pool.release(1) == "");
    }
    SUBCASE("unused")
    {
        pool.served("ann");
        pool.release(1);
        CHECK(pool.died(1) == "stop i1 exited");
    }
    SUBCASE("while it is being stopped: that goes on")
    {
        pool.served("ann");
        CHECK(pool.reset_owner("ann") == "revoke i1 reset by owner, stop i1 reset by owner");
        CHECK(pool.died(1) == "");
    }
    CHECK(pool.state.instances() == 1);
    CHECK(pool.stopped(1) == "");
    CHECK(pool.state.instances() == 0);
    CHECK(pool.acquire("ann") == "start i2 for c2");
}

TEST_CASE("pool state: an answer about an instance that is gone changes nothing, also when its place is taken again")
{
    PoolScript pool;
    pool.acquire("ann");
    CHECK(pool.start_failed(1) == "refuse c1 start failed");
    pool.acquire("bob");
    REQUIRE(pool.slot(2).index() == pool.slot(1).index());
    CHECK(pool.ready(1) == "");
    CHECK(pool.died(1) == "");
    CHECK(pool.start_failed(1) == "");
    CHECK(pool.stopped(1) == "");
    CHECK(pool.release(1) == "");
    CHECK(pool.active(1, 0s) == "");
    CHECK(pool.ready(2) == "grant c2 i2");
    CHECK(pool.ready(2) == "");
}

TEST_CASE("pool state: sessions per instance are limited")
{
    auto options = unlimited();
    options.max_sessions_per_instance = 2;
    PoolScript pool(options);
    pool.acquire("ann");
    pool.acquire("ann");
    pool.acquire("ann");
    CHECK(pool.ready(1) == "grant c1 i1, grant c2 i1, refuse c3 full");
    CHECK(pool.acquire("ann") == "refuse c4 full");
    pool.release(1);
    CHECK(pool.acquire("ann") == "grant c5 i1");
}
