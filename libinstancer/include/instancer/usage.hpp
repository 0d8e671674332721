// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace instancer {

/// The traffic of all sessions of one instance.
///
/// Threads: any; the counters are relaxed atomics.
class Usage {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;

    /// Counts bytes from client to instance.
    void up(std::uint64_t bytes, Clock::time_point now = Clock::now()) noexcept
    {
        up_.fetch_add(bytes, std::memory_order_relaxed);
        touch(now);
    }

    /// Counts bytes from instance to client.
    void down(std::uint64_t bytes, Clock::time_point now = Clock::now()) noexcept
    {
        down_.fetch_add(bytes, std::memory_order_relaxed);
        touch(now);
    }

    /// Bytes from clients to the instance.
    std::uint64_t bytes_up() const noexcept { return up_.load(std::memory_order_relaxed); }
    /// Bytes from the instance to clients.
    std::uint64_t bytes_down() const noexcept { return down_.load(std::memory_order_relaxed); }

    /// When the last byte passed; the epoch of the clock before the first one.
    Clock::time_point last_active() const noexcept
    {
        return Clock::time_point(Clock::duration(last_.load(std::memory_order_relaxed)));
    }

private:
    void touch(Clock::time_point now) noexcept
    {
        last_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }

    std::atomic<std::uint64_t> up_{0};
    std::atomic<std::uint64_t> down_{0};
    std::atomic<Clock::rep> last_{0};
};

}  // namespace instancer
