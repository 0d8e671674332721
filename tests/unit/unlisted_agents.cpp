// SPDX-License-Identifier: MIT
// Which connections to the agents' port have a warning each, where anybody can make any number of them.
#include <doctest/doctest.h>

#include <instancer/detail/tunnel/unlisted_agents.hpp>

using namespace std::chrono_literals;
using instancer::detail::UnlistedAgents;

namespace {

const UnlistedAgents::Time start{1h};

std::size_t warned(UnlistedAgents& agents, std::size_t connections, UnlistedAgents::Time now)
{
    std::size_t count = 0;
    for (std::size_t i = 0; i < connections; ++i)
        count += agents.count(now) ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("unlisted agents: a few have a warning in a window, and the others are counted at its end")
{
    UnlistedAgents agents;
    CHECK(agents.take(start) == 0);
    CHECK(warned(agents, 3, start) == 3);
    CHECK(warned(agents, 100, start + 9s) == 2);
    CHECK(agents.take(start + 10s - 1ns) == 0);
    CHECK(agents.take(start + 10s) == 98);
    CHECK(agents.take(start + 10s) == 0);
    CHECK(warned(agents, 5, start + 20s) == 5);
    CHECK(agents.take(start + 30s) == 0);
    CHECK(warned(agents, 7, start + 31s) == 5);
    CHECK(agents.take_all() == 2);
}
