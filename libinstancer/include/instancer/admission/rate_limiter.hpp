// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace instancer {

/// So many events in a span of time; all of them may come at once.
class Rate {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    /// No limit.
    Rate() = default;
    /// `count` events in each `span`.
    Rate(std::uint32_t count, Duration span) : count_(count), span_(span) {}

    /// Whether there is no limit.
    bool unlimited() const noexcept { return count_ == 0; }
    /// Events that may come at once.
    std::uint32_t count() const noexcept { return count_; }
    /// In which time as many become possible again.
    Duration span() const noexcept { return span_; }
    /// After which time one more is possible.
    Duration interval() const noexcept { return unlimited() ? Duration::zero() : span_ / count_; }

private:
    std::uint32_t count_ = 0;
    Duration span_{0};
};

/// Counts events of any number of sources, each against the same rate, in memory that does not grow.
///
/// A source is a number that only we can calculate, such as a keyed hash, so that nobody can choose who shares a place
/// with whom. When more sources are active than it has room for, it forgets those that are nearest to a full burst.
///
/// Source: the generic cell rate algorithm (ITU-T I.371), which is a token bucket that needs one number for each
/// source. Threads: one at a time.
class RateLimiter {
public:
    /// The clock of all limits.
    using Time = std::chrono::steady_clock::time_point;
    /// A span of time.
    using Duration = Rate::Duration;

    /// `capacity` sources are remembered, 16 bytes each; it is rounded up to a power of two.
    explicit RateLimiter(Rate rate, std::size_t capacity = 65'536)
        : rate_(rate), sets_(rate.unlimited() ? 0 : std::bit_ceil(std::max<std::size_t>(capacity / ways, 1)))
    {
    }

    /// Counts an event of `source`; false, and nothing is counted, when that is one too many.
    ///
    /// Time: constant.
    bool allow(std::uint64_t source, Time now)
    {
        if (rate_.unlimited())
            return true;
        Place& place = place_of(source);
        if (place.source != source)
            place = {source, Time::min()};
        if (wait_of(place, now) > Duration::zero())
            return false;
        place.full_at = std::max(place.full_at, now) + rate_.interval();
        return true;
    }

    /// How long until `source` may do it once more; 0 when it may now.
    Duration wait(std::uint64_t source, Time now)
    {
        if (rate_.unlimited())
            return Duration::zero();
        const Place& place = place_of(source);
        return place.source == source ? wait_of(place, now) : Duration::zero();
    }

    /// How many events of `source` still count.
    std::uint32_t counted(std::uint64_t source, Time now)
    {
        if (rate_.unlimited())
            return 0;
        const Place& place = place_of(source);
        if (place.source != source || place.full_at <= now)
            return 0;
        return static_cast<std::uint32_t>((place.full_at - now + rate_.interval() - Duration(1)) / rate_.interval());
    }

private:
    /// Places that are looked at for a source. Of eight that are all taken the calmest one is seldom busy.
    static constexpr std::size_t ways = 8;

    struct Place {
        std::uint64_t source = 0;
        Time full_at = Time::min();  ///< When its burst is whole again.
    };
    using Set = std::array<Place, ways>;

    /// The place of `source`, or the one that it may have.
    Place& place_of(std::uint64_t source)
    {
        Set& set = sets_[source & (sets_.size() - 1)];
        const auto own =
            std::find_if(set.begin(), set.end(), [&](const Place& place) { return place.source == source; });
        if (own != set.end())
            return *own;
        return *std::min_element(set.begin(), set.end(),
                                 [](const Place& a, const Place& b) { return a.full_at < b.full_at; });
    }

    Duration wait_of(const Place& place, Time now) const
    {
        if (place.full_at <= now)
            return Duration::zero();
        return std::max(Duration::zero(), place.full_at - now - (rate_.span() - rate_.interval()));
    }

    Rate rate_;
    std::vector<Set> sets_;
};

}  // namespace instancer
