// SPDX-License-Identifier: MIT
// The time limits of instances, while the options change.
#include <chrono>

#include <doctest/doctest.h>

#include <instancer/pool/time_limits.hpp>

using namespace std::chrono_literals;
using namespace instancer;

namespace {

PoolOptions living(std::chrono::steady_clock::duration ttl)
{
    PoolOptions options;
    options.ttl = ttl;
    options.idle = 0s;
    return options;
}

}  // namespace

TEST_CASE("time limits: an instance keeps its own, and limits that no instance has take no memory")
{
    InstanceTable table;
    TimeLimits limits(living(1s));
    const auto old = table.add();
    table[old].clients = 1;
    limits.apply(table[old]);
    for (int hour = 1; hour <= 1000; ++hour)
        limits.set(living(std::chrono::hours(hour)), table);
    const auto young = table.add();
    table[young].clients = 1;
    limits.apply(table[young]);
    CHECK(limits.due(table[old]) == table[old].claimed + 1s);
    CHECK(limits.due(table[young]) == table[young].claimed + 1000h);
    CHECK(limits.count() == 2);
    table.remove(old);
    limits.set(living(1min), table);
    CHECK(limits.due(table[young]) == table[young].claimed + 1000h);
    CHECK(limits.count() == 2);
}

TEST_CASE("time limits: an instance keeps the time of its warning, too")
{
    InstanceTable table;
    auto options = living(1h);
    TimeLimits limits(options);
    const auto silent = table.add();
    limits.apply(table[silent]);
    options.warn_before = 5min;
    limits.set(options, table);
    const auto warned = table.add();
    limits.apply(table[warned]);
    CHECK(limits.warning_due(table[silent]) == std::chrono::steady_clock::time_point::max());
    CHECK(limits.warning_due(table[warned]) == table[warned].claimed + 55min);
    table[warned].warned_of = limits.coming_end(table[warned]).time;
    CHECK(limits.warning_due(table[warned]) == std::chrono::steady_clock::time_point::max());
    table[warned].extended = 600;
    CHECK(limits.warning_due(table[warned]) == table[warned].claimed + 65min);
}
