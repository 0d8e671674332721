// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>

namespace instancer {

/// An end by time, as it is foreseen.
class ComingEnd {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;

    /// None: the end of time.
    ComingEnd() = default;
    /// At `moment`; `silence` where the next byte puts it off.
    explicit ComingEnd(Clock::time_point moment, bool silence = false) : time(moment), by_silence(silence) {}

    Clock::time_point time = Clock::time_point::max();  ///< When it comes.
    bool by_silence = false;                            ///< The next byte puts it off.
};

}  // namespace instancer
