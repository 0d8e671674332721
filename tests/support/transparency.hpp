// SPDX-License-Identifier: MIT
// Differential tests: the same script is played directly and by a route, and both ends must see the same.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <route.hpp>

namespace transparency {

/// Every event that a connection can have, one after the other.
void check_every_event(Route& route);

/// The client half-closes and the answer comes `delay` later, by all routes at once.
void check_late_answers(const std::vector<RoutePtr>& routes, std::chrono::milliseconds delay);

/// Conversations made up from the seeds 1 to `count`, or to INSTANCER_TEST_SEEDS.
void check_random_conversations(Route& route, std::uint64_t count);

}  // namespace transparency
