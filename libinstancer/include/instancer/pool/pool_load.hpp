// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

namespace instancer {

/// How busy a pool is.
class PoolLoad {
public:
    std::size_t instances = 0;       ///< All that exist.
    std::size_t delayed_starts = 0;  ///< Clients that wait for room, and starts for clients that wait for their turn.
    std::size_t in_use = 0;          ///< Instances that cannot make room for others: they have clients, start or stop.
    std::size_t max_instances = 0;   ///< Their limit; 0: there is none.

    PoolLoad() = default;
};

}  // namespace instancer
