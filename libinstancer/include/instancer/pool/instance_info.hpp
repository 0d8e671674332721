// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace instancer {

/// One line about an instance, for an operator who asks what there is.
class InstanceInfo {
public:
    std::uint64_t id = 0;             ///< For `InstancePool::stop` and `extend`; never used twice.
    std::string name;                 ///< As the backend calls it.
    std::string owner;                ///< Owner hash, 32 hex digits; empty for a warm instance.
    std::string state;                ///< `starting`, `warm`, `running` or `stopping`.
    std::chrono::nanoseconds age{0};  ///< Since its start.
    /// Until a time limit ends it, by what the pool knows now; empty when none does.
    std::optional<std::chrono::nanoseconds> time_left;
    std::size_t clients = 0;       ///< Clients that are connected to it.
    std::uint64_t bytes_up = 0;    ///< Bytes from clients to the instance.
    std::uint64_t bytes_down = 0;  ///< Bytes from the instance to clients.

    InstanceInfo() = default;
};

}  // namespace instancer
