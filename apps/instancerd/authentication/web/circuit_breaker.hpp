// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include <instancer/acceptor/source.hpp>

namespace instancer::daemon {

/// Whether it is worth while to ask somebody who has failed: after several failures in a row only now and then. What
/// one source of clients asks cannot open it for all.
///
/// Threads: one at a time.
class CircuitBreaker {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t failures_to_open = 5;     ///< A guess.
    static constexpr std::ptrdiff_t most_of_source = 2;    ///< Of these; a guess.
    static constexpr std::chrono::seconds first_pause{1};  ///< Between trials; twice as long after each failure.
    static constexpr std::chrono::seconds longest_pause{30};

    /// Whether to ask now. While it is open, true once in each pause: for a trial.
    bool allows(Clock::time_point now)
    {
        if (!is_open())
            return true;
        if (now < next_trial_)
            return false;
        next_trial_ = now + pause_;
        trial_ = true;
        return true;
    }

    /// Whether that has closed it.
    bool succeeded()
    {
        const bool was_open = is_open();
        failed_.clear();
        trial_ = false;
        return was_open;
    }

    /// Whether that has opened it, for a client from `source`. Once it is open only a trial says anything new: many
    /// requests may have been under way.
    bool failed(const Source& source, Clock::time_point now)
    {
        const bool was_open = is_open();
        if (was_open && !std::exchange(trial_, false))
            return false;
        if (!was_open && std::count(failed_.begin(), failed_.end(), source) < most_of_source)
            failed_.push_back(source);
        if (!is_open())
            return false;
        pause_ = was_open ? std::min(2 * pause_, longest_pause) : first_pause;
        next_trial_ = now + pause_;
        return !was_open;
    }

private:
    bool is_open() const { return failed_.size() == failures_to_open; }

    std::vector<Source> failed_;  ///< Whose requests failed, one after the other.
    bool trial_ = false;          ///< One has begun, and has not ended.
    std::chrono::seconds pause_ = first_pause;
    Clock::time_point next_trial_;
};

}  // namespace instancer::daemon
