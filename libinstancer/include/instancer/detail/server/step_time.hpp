// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace instancer::detail {

/// How long a step of a session took, in few bytes: each session holds several to its end.
class StepTime {
public:
    using Duration = std::chrono::nanoseconds;

    /// The step took this long, beside what it took before.
    void add(Duration took) noexcept
    {
        seconds_ = std::max(seconds_, 0.0F) + std::chrono::duration_cast<Seconds>(took).count();
    }

    /// None while the session has not come to it.
    std::optional<Duration> get() const noexcept
    {
        if (seconds_ < 0)
            return std::nullopt;
        return std::chrono::duration_cast<Duration>(Seconds(seconds_));
    }

private:
    using Seconds = std::chrono::duration<float>;

    float seconds_ = -1;
};

}  // namespace instancer::detail
