// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include <memory>

#include <instancer/detail/async/deadline.hpp>

#include "async_test.hpp"

using namespace async_test;
using instancer::detail::Deadline;

TEST_CASE("deadline: the handler is called when its time has come, and may set it again")
{
    Loop loop;
    Deadline deadline(loop.executor());
    int calls = 0;
    deadline.set(1ms, [&] {
        ++calls;
        deadline.set(1ms, [&] { ++calls; });
    });
    CHECK(loop.until([&] { return calls == 2; }));
}

TEST_CASE("deadline: what was due when it was cancelled, replaced or destroyed is not called any more")
{
    Loop loop;
    auto deadline = std::make_unique<Deadline>(loop.executor());
    bool called = false;
    // Both are due at the same look at the clock, and this one comes first.
    asio::steady_timer before(loop.executor(), std::chrono::steady_clock::now() - 1h);
    SUBCASE("cancelled")
    {
        before.async_wait([&](const auto&) { deadline->cancel(); });
    }
    SUBCASE("destroyed")
    {
        before.async_wait([&](const auto&) { deadline.reset(); });
    }
    SUBCASE("replaced")
    {
        before.async_wait([&](const auto&) { deadline->set(1h, [] {}); });
    }
    deadline->set(0s, [&] { called = true; });
    loop.settle();
    CHECK_FALSE(called);
}
