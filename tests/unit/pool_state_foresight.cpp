// SPDX-License-Identifier: MIT
// Clients that would be refused, and are told so before they work for their start.
#include <doctest/doctest.h>

#include "pool_script.hpp"

using namespace pool_script;

namespace {

const std::string service_is_full = "the service has as many as it may have (max-instances)";
const std::string owner_is_full = "its owner has as many as one may have (max-per-owner)";

PoolOptions capped(std::size_t instances, WhenFull when_full = WhenFull::refuse)
{
    auto options = unlimited();
    options.max_instances = instances;
    options.when_full = when_full;
    return options;
}

}  // namespace

TEST_CASE("pool foresight: a full service refuses, until one of its instances is unused or ends")
{
    PoolScript pool(capped(2));
    pool.served("ann");
    CHECK(pool.foreseen_limit("bob") == "");
    pool.served("bob");
    CHECK(pool.foreseen_limit("cat") == service_is_full);
    CHECK(pool.foreseen_limit("cat", true) == service_is_full);
    // The end of her own instance makes room.
    CHECK(pool.foreseen_limit("ann", true) == "");
    SUBCASE("unused")
    {
        pool.release(1);
        CHECK(pool.foreseen_limit("cat") == "");
    }
    SUBCASE("ending")
    {
        pool.died(1);
        CHECK(pool.foreseen_limit("cat") == "");
        // Somebody else waits for that room.
        CHECK(pool.acquire("dan") == "");
        CHECK(pool.foreseen_limit("cat") == service_is_full);
    }
}

TEST_CASE("pool foresight: nothing changes by asking")
{
    PoolScript pool(capped(1));
    pool.served("ann");
    CHECK(pool.foreseen_limit("bob") == service_is_full);
    CHECK_FALSE(pool.state.next_action());
    CHECK(pool.acquire("ann") == "grant c2 i1");
}

TEST_CASE("pool foresight: a full owner, beside others that are not")
{
    auto options = capped(0);
    options.max_per_owner = 1;
    PoolScript pool(options);
    pool.served("ann/1");
    CHECK(pool.foreseen_limit("ann/2") == owner_is_full);
    CHECK(pool.foreseen_limit("bob") == "");
    pool.release(1);
    CHECK(pool.foreseen_limit("ann/2") == "");
}

TEST_CASE("pool foresight: a warm instance is there to be taken, but not by a full owner")
{
    auto options = capped(2);
    options.max_per_owner = 1;
    options.warm = 1;
    PoolScript pool(options);
    pool.fill_warm();
    pool.ready(1);
    pool.acquire("ann/1");
    pool.ready(2);
    CHECK(pool.foreseen_limit("bob") == "");
    CHECK(pool.foreseen_limit("ann/2") == owner_is_full);
}

TEST_CASE("pool foresight: a client that may wait is not refused")
{
    auto options = capped(1, WhenFull::queue);
    options.queue_size = 2;
    PoolScript pool(options);
    pool.served("ann");
    CHECK(pool.foreseen_limit("bob") == "");
    pool.acquire("bob");
    pool.acquire("cat");
    CHECK(pool.foreseen_limit("dan") == "all instances are taken and the queue is full (queue-size)");
    pool.abandon(3);
    pool.acquire("bob/2");
    // The last of whoever has most in the queue makes room.
    CHECK(pool.foreseen_limit("dan") == "");
    CHECK(pool.foreseen_limit("bob/3") == "all instances are taken and the queue is full (queue-size)");
}

TEST_CASE("pool foresight: where others are culled nobody is refused")
{
    PoolScript pool(capped(1, WhenFull::cull_oldest));
    pool.served("ann");
    CHECK(pool.foreseen_limit("bob") == "");
}

TEST_CASE("pool foresight: what several pools may have together counts")
{
    InstanceBudget budget(2, 1);
    PoolScript red(capped(0), &budget), blue(capped(0), &budget);
    red.names_owners = blue.names_owners = true;
    red.served("ann");
    CHECK(blue.foreseen_limit("ann") ==
          "its owner has as many as one may have in all services (the daemon's max-per-owner)");
    CHECK(blue.foreseen_limit("bob") == "");
    red.served("bob");
    CHECK(blue.foreseen_limit("cat") ==
          "the services together have as many as they may have (the daemon's max-instances)");
    red.release(1);
    CHECK(blue.foreseen_limit("ann") == "");
    CHECK(blue.foreseen_limit("cat") == "");
}
