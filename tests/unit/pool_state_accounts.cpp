// SPDX-License-Identifier: MIT
// What one owner may have in several pools together.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

/// Two pools that know the owners of each other's instances.
class TwoPools {
public:
    explicit TwoPools(std::size_t per_owner, const PoolOptions& options = unlimited())
        : budget(0, per_owner), red(options, &budget), blue(options, &budget)
    {
        red.names_owners = blue.names_owners = true;
        red.state.on_wake([this] { red_woken = true; });
        blue.state.on_wake([this] { blue_woken = true; });
    }

    InstanceBudget budget;
    PoolScript red, blue;
    bool red_woken = false, blue_woken = false;
};

}  // namespace

TEST_CASE("pool accounts: an owner has no more instances in all pools than one may have")
{
    TwoPools pools(2);
    pools.red.served("ann/1");
    pools.blue.served("ann/1");
    CHECK(pools.red.acquire("ann/2") == "refuse c2 owner full");
    CHECK(pools.red.limit == "its owner has as many as one may have in all services (the daemon's max-per-owner)");
    CHECK(pools.red.instances == 2);
    CHECK(pools.red.acquire("ann/1") == "grant c3 i1");
    CHECK(pools.red.acquire("bob") == "start i2 for c4");
    // Room that is coming free elsewhere is waited for.
    pools.blue.died(1);
    CHECK(pools.red.acquire("ann/2") == "");
    pools.blue.stopped(1);
    REQUIRE(pools.red_woken);
    CHECK(pools.red.tick() == "start i3 for c5");
}

TEST_CASE("pool accounts: an instance that nobody uses makes room for its owner in another pool")
{
    TwoPools pools(1);
    pools.red.served("ann");
    pools.red.release(1);
    CHECK(pools.blue.acquire("ann") == "");
    REQUIRE(pools.red_woken);
    CHECK(pools.red.tick() == "stop i1 culled");
    CHECK(pools.blue.tick() == "");
    pools.blue_woken = false;
    pools.red.stopped(1);
    REQUIRE(pools.blue_woken);
    CHECK(pools.blue.tick() == "start i1 for c1");
}

TEST_CASE("pool accounts: who waits for room of the own owner lets others pass")
{
    auto options = unlimited();
    options.when_full = WhenFull::queue;
    TwoPools pools(1, options);
    pools.red.served("ann");
    CHECK(pools.blue.acquire("ann") == "");
    CHECK(pools.blue.acquire("bob") == "start i1 for c2");
    CHECK(pools.red.release(1) == "stop i1 culled");
    pools.red.stopped(1);
    REQUIRE(pools.blue_woken);
    CHECK(pools.blue.tick() == "start i2 for c1");
}

TEST_CASE("pool accounts: nobody's instance is stopped for who could not use its room")
{
    auto options = unlimited();
    options.when_full = WhenFull::queue;
    options.max_instances = 2;
    TwoPools pools(1, options);
    pools.red.served("ann");
    pools.blue.served("bob");
    pools.blue.served("cat");
    CHECK(pools.blue.acquire("ann") == "");
    CHECK(pools.blue.release(1) == "");
    CHECK(pools.blue.acquire("dan") == "stop i1 culled");
    CHECK(pools.blue.release(2) == "");
    CHECK(pools.blue.stopped(1) == "start i3 for c4");
    // Once she has room, it is made.
    CHECK(pools.red.died(1) == "revoke i1 exited, stop i1 exited");
    pools.red.stopped(1);
    REQUIRE(pools.blue_woken);
    CHECK(pools.blue.tick() == "stop i2 culled");
    CHECK(pools.blue.stopped(2) == "start i4 for c3");
}

TEST_CASE("pool accounts: what was left behind counts once its owner comes back")
{
    TwoPools pools(1);
    REQUIRE(pools.red.adopt("ann", 1min));
    CHECK(pools.blue.acquire("ann") == "start i1 for c1");
    CHECK(pools.red.acquire("ann") == "grant c1 i1");
    pools.blue.ready(1);
    CHECK(pools.blue.acquire("ann/2") == "refuse c2 owner full");
    CHECK(pools.blue.instances == 2);
}

TEST_CASE("pool accounts: owners that no client names are nobody's business elsewhere")
{
    TwoPools pools(1);
    pools.red.names_owners = false;
    CHECK(pools.red.acquire("ann/1") == "start i1 for c1");
    CHECK(pools.red.acquire("ann/2") == "start i2 for c2");
    CHECK(pools.blue.acquire("ann") == "start i1 for c1");
}

TEST_CASE("pool accounts: an account goes with the last that its owner has, and with the pool")
{
    InstanceBudget budget(0, 1);
    PoolScript red(unlimited(), &budget);
    red.names_owners = true;
    {
        PoolScript blue(unlimited(), &budget);
        blue.names_owners = true;
        blue.served("ann");
        CHECK(red.acquire("ann") == "refuse c1 owner full");
    }
    CHECK(red.acquire("ann") == "start i1 for c2");
    red.start_failed(1);
    CHECK(red.state.empty());
    CHECK(red.acquire("ann") == "start i2 for c3");
}
