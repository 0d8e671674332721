// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace instancer::detail {

/// How much of what an instance writes is read: so many bytes in each second, and the rest when that is over.
class ReadAllowance {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::size_t default_bytes = 1024 * 1024;

    explicit ReadAllowance(std::size_t bytes_per_second = default_bytes) : limit_(bytes_per_second) {}

    /// Bytes that may be read now; with 0 there are some again at `renewal`.
    std::size_t left(Clock::time_point now) noexcept
    {
        if (now >= renewal_) {
            renewal_ = now + std::chrono::seconds(1);
            used_ = 0;
        }
        return limit_ - used_;
    }

    /// Counts what was read, which is no more than was left.
    void use(std::size_t bytes) noexcept { used_ += std::min(bytes, limit_ - used_); }

    Clock::time_point renewal() const noexcept { return renewal_; }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
    Clock::time_point renewal_ = Clock::time_point::min();
};

}  // namespace instancer::detail
