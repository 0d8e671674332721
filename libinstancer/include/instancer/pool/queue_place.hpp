// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

namespace instancer {

/// Where a client stands among those that wait for room.
class QueuePlace {
public:
    /// How often a client is told its place at most: somebody is to read that. A guess.
    static constexpr std::chrono::milliseconds pause{500};

    QueuePlace() = default;
    /// The client is number `position`, from 1, of `waiting`.
    QueuePlace(std::size_t position, std::size_t waiting) : position_(position), waiting_(waiting) {}

    /// From 1.
    std::size_t position() const noexcept { return position_; }
    /// Clients that wait.
    std::size_t waiting() const noexcept { return waiting_; }

    /// Whether nothing has changed.
    friend bool operator==(const QueuePlace&, const QueuePlace&) = default;

private:
    std::size_t position_ = 0;
    std::size_t waiting_ = 0;
};

}  // namespace instancer
