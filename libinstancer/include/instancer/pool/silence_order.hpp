// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <instancer/detail/pool/large_vector.hpp>
#include <instancer/detail/pool/timer_wheel.hpp>

namespace instancer {

/// Finds the instance that has been silent for longest, though nobody says when a byte passes: what is known of an
/// instance is asked for anew only when it comes first, and at most once a second.
///
/// Time: every function takes constant time, on average over many calls.
/// Threads: one at a time.
class SilenceOrder {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::uint32_t none = detail::no_index;  ///< No instance.

    /// `epoch` is not after any other time.
    explicit SilenceOrder(Time epoch) : ticks_(epoch), wheel_(NodeOf(this)) {}
    SilenceOrder(const SilenceOrder&) = delete;
    SilenceOrder& operator=(const SilenceOrder&) = delete;

    /// The last byte of the instance at `index` that is known of passed at `last`. Adds it if need be.
    void heard(std::uint32_t index, Time last)
    {
        if (index >= nodes_.size())
            nodes_.resize(std::max<std::size_t>(index + std::size_t{1}, nodes_.size() * 2));
        wheel_.arm(index, ticks_.down(last));
    }

    /// As `heard`; that was asked for at `now`.
    void answered(std::uint32_t index, Time last, Time now)
    {
        heard(index, last);
        nodes_[index].asked = now;
    }

    /// Forgets the instance.
    void erase(std::uint32_t index)
    {
        if (index >= nodes_.size())
            return;
        wheel_.disarm(index);
        nodes_[index].asked.reset();
    }

    /// The instance that has been silent for longest by what is known.
    std::uint32_t first()
    {
        const auto index = wheel_.take_first();
        if (!index)
            return none;
        wheel_.arm(*index, nodes_[*index].timer.due);
        return *index;
    }

    /// Whether it is worth asking for the last byte of the instance at `index`.
    bool is_unsure(std::uint32_t index, Time now) const
    {
        const auto& asked = nodes_[index].asked;
        return !asked || now - *asked >= std::chrono::seconds(1);
    }

private:
    struct Node {
        detail::TimerNode timer;
        std::optional<Time> asked;
    };

    class NodeOf {
    public:
        explicit NodeOf(SilenceOrder* order) : order_(order) {}
        detail::TimerNode& operator()(std::uint32_t index) const { return order_->nodes_[index].timer; }

    private:
        SilenceOrder* order_;
    };

    detail::TickClock ticks_;
    detail::LargeVector<Node> nodes_;
    detail::TimerWheel<NodeOf> wheel_;  ///< By the last known byte, as a queue that only moves on.
};

}  // namespace instancer
