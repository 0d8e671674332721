// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <mutex>
#include <string_view>

#include <instancer/admission/rate_limiter.hpp>
#include <instancer/detail/crypto/sip_hash.hpp>

namespace instancer {

/// A RateLimiter for sources that have names, of any kind and number.
///
/// Threads: any.
class SourceRate {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;

    /// Each source has `rate` for itself.
    explicit SourceRate(const Rate& rate) : rate_(rate), limiter_(rate) {}

    /// The limits of each source.
    const Rate& rate() const noexcept { return rate_; }

    /// Counts an event of `source`. When it is one too many, nothing is counted, and the result is how long `source`
    /// has to wait; otherwise it is 0.
    ///
    /// Time: constant.
    Rate::Duration take(std::string_view source, Clock::time_point now = Clock::now())
    {
        const auto number = hash_(source);
        const std::lock_guard lock(mutex_);
        return limiter_.allow(number, now) ? Rate::Duration::zero() : limiter_.wait(number, now);
    }

private:
    const Rate rate_;
    const detail::SipHash hash_;
    std::mutex mutex_;  ///< Guards what follows.
    RateLimiter limiter_;
};

}  // namespace instancer
