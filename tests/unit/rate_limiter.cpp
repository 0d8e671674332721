// SPDX-License-Identifier: MIT
#include <chrono>
#include <cstdint>

#include <doctest/doctest.h>

#include <instancer/admission/rate_limiter.hpp>

namespace {

using namespace instancer;
using namespace std::chrono_literals;

constexpr RateLimiter::Time begin{100h};

/// How often `source` gets through in `tries` tries at once.
int passed(RateLimiter& limiter, std::uint64_t source, RateLimiter::Time now, int tries = 100)
{
    int count = 0;
    for (int i = 0; i < tries; ++i)
        count += limiter.allow(source, now) ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("rate limiter: a burst, then one for each interval")
{
    RateLimiter limiter(Rate(5, 10s));
    CHECK(passed(limiter, 1, begin) == 5);
    CHECK(limiter.wait(1, begin) == 2s);
    CHECK(passed(limiter, 1, begin + 1999ms) == 0);
    CHECK(passed(limiter, 1, begin + 2s) == 1);
    CHECK(passed(limiter, 1, begin + 7s) == 2);
    CHECK(passed(limiter, 1, begin + 1h) == 5);
}

TEST_CASE("rate limiter: over any time a source gets what its rate says, however it asks")
{
    RateLimiter limiter(Rate(10, 1s));
    int count = 0;
    for (auto now = begin; now < begin + 100s; now += 7ms)
        count += limiter.allow(42, now) ? 1 : 0;
    CHECK(count >= 1000);
    CHECK(count <= 1010);
}

TEST_CASE("rate limiter: sources do not count against each other")
{
    RateLimiter limiter(Rate(1, 1min));
    for (std::uint64_t source = 0; source < 1000; ++source) {
        CHECK(passed(limiter, source * 0x9e3779b97f4a7c15u, begin, 2) == 1);
        CHECK(limiter.wait(source * 0x9e3779b97f4a7c15u, begin) == 1min);
    }
    CHECK(limiter.wait(12345, begin) == 0s);
}

TEST_CASE("rate limiter: of more sources than it has room for the calmest is forgotten")
{
    RateLimiter limiter(Rate(3, 3s), 8);
    CHECK(passed(limiter, 1, begin) == 3);
    for (std::uint64_t source = 2; source <= 8; ++source)
        CHECK(limiter.allow(source, begin));
    CHECK(limiter.allow(9, begin));
    // The busy one is still known; one that had asked once made room.
    CHECK(passed(limiter, 1, begin) == 0);
    CHECK(passed(limiter, 9, begin) == 2);
}

TEST_CASE("rate limiter: without a rate there is no limit")
{
    RateLimiter limiter{Rate()};
    CHECK(passed(limiter, 1, begin) == 100);
    CHECK(limiter.wait(1, begin) == 0s);
}
