// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <utility>

namespace instancer::detail {

/// Which of the connections that are not let in have a warning each: anybody can bring about any number of them.
///
/// Threads: one at a time.
class UnlistedAgents {
public:
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::chrono::seconds window{10};  ///< A guess, as is the next.
    static constexpr std::size_t warnings = 5;         ///< In a window.

    /// Counts one more; whether it has a warning.
    bool count(Time now)
    {
        if (seen_++ == 0)
            end_ = now + window;
        return seen_ <= warnings;
    }

    /// Once the window is over, how many had none in it; 0 before.
    std::size_t take(Time now) { return now < end_ ? 0 : take_all(); }

    /// How many have had none since the last answer.
    std::size_t take_all()
    {
        const auto seen = std::exchange(seen_, 0);
        return seen > warnings ? seen - warnings : 0;
    }

private:
    std::size_t seen_ = 0;
    Time end_;  ///< Of the window.
};

}  // namespace instancer::detail
