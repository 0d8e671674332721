// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <instancer/acceptor/source.hpp>
#include <instancer/admission/rate_limiter.hpp>
#include <instancer/detail/crypto/sip_hash.hpp>

namespace instancer {

/// Counts the recent failures of sources, in bounded memory.
///
/// Threads: one at a time.
class FailureCounts {
public:
    /// The clock of failures.
    using Time = RateLimiter::Time;

    /// Counts up to `most` failures of a source, of which one is forgotten after each `span`.
    FailureCounts(std::uint32_t most, Rate::Duration span) : failures_(Rate(most, most * span)) {}

    /// Notes that a client from `source` failed.
    void note(const Source& source, Time now) { failures_.allow(number_of(source), now); }

    /// Failures of `source` that are not forgotten.
    std::size_t recent(const Source& source, Time now) { return failures_.counted(number_of(source), now); }

private:
    std::uint64_t number_of(const Source& source) const { return hash_(source.to_string()); }

    const detail::SipHash hash_;
    RateLimiter failures_;
};

}  // namespace instancer
