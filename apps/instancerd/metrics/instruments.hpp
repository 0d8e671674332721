// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace instancer::daemon {

/// A number that only rises.
///
/// Threads: any.
class Counter {
public:
    void add(std::uint64_t count = 1) noexcept { value_.fetch_add(count, std::memory_order_relaxed); }
    std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_ = 0;
};

/// How often times fell between certain bounds.
///
/// Threads: any.
class Histogram {
public:
    /// In seconds: a process starts in a few milliseconds, an image is pulled in minutes.
    static constexpr std::array bounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,  0.25,
                                          0.5,   1.0,    2.5,   5.0,  10.0,  30.0, 60.0, 300.0};

    void observe(std::chrono::nanoseconds time) noexcept
    {
        const auto seconds = std::chrono::duration<double>(time).count();
        const auto bound = std::lower_bound(bounds.begin(), bounds.end(), seconds);
        counts_[static_cast<std::size_t>(bound - bounds.begin())].add();
        nanoseconds_.add(static_cast<std::uint64_t>(std::max<std::chrono::nanoseconds::rep>(time.count(), 0)));
    }

    /// Times that are longer than the bound before `index`, and not longer than its own; the last has none.
    std::uint64_t count(std::size_t index) const noexcept { return counts_[index].value(); }

    /// Of all times, in seconds.
    double sum() const noexcept { return static_cast<double>(nanoseconds_.value()) / 1e9; }

private:
    std::array<Counter, bounds.size() + 1> counts_;
    Counter nanoseconds_;
};

}  // namespace instancer::daemon
