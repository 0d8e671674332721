// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

namespace instancer::detail {

/// How long a receiver may take for what was sent to it before the sender's reset: for as long as it takes anything.
class StallDetector {
public:
    /// Between two looks. A guess.
    static constexpr std::chrono::milliseconds pause{10};

    /// Whether it is over. `delivered` grows as long as bytes arrive.
    bool ends_at(std::uint64_t delivered) noexcept
    {
        idle_looks_ = std::exchange(delivered_, delivered) == delivered ? idle_looks_ + 1 : 0;
        return idle_looks_ == most_idle_looks;
    }

private:
    /// Half a second in all; a guess.
    static constexpr int most_idle_looks = 50;

    std::uint64_t delivered_ = 0;
    int idle_looks_ = 0;
};

}  // namespace instancer::detail
