// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>

#include <instancer/detail/pool/digest_index.hpp>

namespace instancer::detail {

/// Moments in the wheel: milliseconds since a beginning.
class TickClock {
public:
    using Time = std::chrono::steady_clock::time_point;

    explicit TickClock(Time epoch) : epoch_(epoch) {}

    std::uint64_t down(Time time) const
    {
        return not_negative(std::chrono::floor<std::chrono::milliseconds>(time - epoch_).count());
    }
    std::uint64_t up(Time time) const
    {
        return not_negative(std::chrono::ceil<std::chrono::milliseconds>(time - epoch_).count());
    }
    Time time(std::uint64_t tick) const { return epoch_ + std::chrono::milliseconds(tick); }

private:
    static std::uint64_t not_negative(std::int64_t count)
    {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, count));
    }

    Time epoch_;
};

/// The wheel's part of a record.
struct TimerNode {
    std::uint64_t due : 48 = 0;  ///< In ticks; a clock of nanoseconds in 64 bits ends before.
    std::uint64_t place : 16 = unarmed;
    std::uint32_t previous = no_index;
    std::uint32_t next = no_index;

    static constexpr std::uint64_t latest = (std::uint64_t{1} << 48) - 1;
    static constexpr std::uint16_t unarmed = 0xffff;
    bool armed() const noexcept { return place != unarmed; }
};

/// A hierarchical timing wheel (Varghese and Lauck, 1987, scheme 7): arming and disarming cost the same with ten
/// timers as with a million. Records are named by index; `node_of(index)` is the record's TimerNode.
template <class NodeOf>
class TimerWheel {
public:
    explicit TimerWheel(NodeOf node_of) : node_of_(node_of) { heads_.fill(no_index); }

    /// Arms or re-arms; a time that is past fires at the next `advance`.
    void arm(std::uint32_t index, std::uint64_t due)
    {
        disarm(index);
        node_of_(index).due = std::min(due, TimerNode::latest) & TimerNode::latest;
        link(index);
    }

    void disarm(std::uint32_t index)
    {
        TimerNode& node = node_of_(index);
        if (!node.armed())
            return;
        if (node.previous == no_index)
            heads_[node.place] = node.next;
        else
            node_of_(node.previous).next = node.next;
        if (node.next != no_index)
            node_of_(node.next).previous = node.previous;
        if (heads_[node.place] == no_index)
            occupied_[node.place / slots] &= ~(std::uint64_t{1} << node.place % slots);
        node.place = TimerNode::unarmed;
    }

    /// Moves the time on to `now` and disarms, one per call, what is due; nothing when no more is.
    std::optional<std::uint32_t> advance(std::uint64_t now)
    {
        const auto index = take_first(now);
        if (!index)
            now_ = std::max(now_, now);
        return index;
    }

    /// Disarms the first that is due until `end`, and moves the time on to it.
    std::optional<std::uint32_t> take_first(std::uint64_t end = std::numeric_limits<std::uint64_t>::max())
    {
        for (;;) {
            const auto next = next_stop();
            if (!next || *next > end)
                return std::nullopt;
            now_ = std::max(now_, *next);
            if (const auto index = expire())
                return index;
        }
    }

    /// No timer fires before this tick. It may be early: then `advance` finds nothing, and the next answer is nearer.
    std::optional<std::uint64_t> next_due() const { return next_stop(); }

private:
    static constexpr std::size_t bits = 6, slots = 64, levels = 7;

    std::size_t slot_at(std::size_t level, std::uint64_t tick) const noexcept
    {
        return tick >> bits * level & (slots - 1);
    }

    void link(std::uint32_t index)
    {
        TimerNode& node = node_of_(index);
        const std::uint64_t due = std::max<std::uint64_t>(node.due, now_);
        const std::uint64_t differing = due ^ now_;
        std::size_t level = differing == 0 ? 0 : (std::bit_width(differing) - 1) / bits;
        std::uint64_t tick = due;
        if (level >= levels) {  // Years away: parked at the far end, and looked at again from there.
            level = levels - 1;
            tick = now_ + ((slots - 1) << bits * level);
            if ((tick ^ now_) >> bits * levels != 0)
                tick = now_ | ((std::uint64_t{1} << bits * levels) - 1);
        }
        const std::size_t place = level * slots + slot_at(level, tick);
        node.place = static_cast<std::uint16_t>(place);
        node.previous = no_index;
        node.next = heads_[place];
        if (node.next != no_index)
            node_of_(node.next).previous = index;
        heads_[place] = index;
        occupied_[level] |= std::uint64_t{1} << slot_at(level, tick);
    }

    /// The next tick at which a slot must be looked at: one that fires, or one whose timers move a level down.
    std::optional<std::uint64_t> next_stop() const
    {
        for (std::size_t level = 0; level < levels; ++level) {
            const std::size_t current = slot_at(level, now_);
            const std::uint64_t ahead = occupied_[level] >> current << current;
            if (ahead == 0)
                continue;
            const auto slot = static_cast<std::uint64_t>(std::countr_zero(ahead));
            const std::uint64_t high = now_ >> bits * (level + 1) << bits * (level + 1);
            return std::max(now_, high | slot << bits * level);
        }
        return std::nullopt;
    }

    /// Takes one due timer from the current slots, moving timers down from the coarser levels first.
    std::optional<std::uint32_t> expire()
    {
        for (std::size_t level = levels - 1; level > 0; --level) {
            const std::size_t place = level * slots + slot_at(level, now_);
            while (heads_[place] != no_index) {
                const std::uint32_t index = heads_[place];
                disarm(index);
                link(index);
                if (node_of_(index).place == place)
                    break;  // Parked again at the far end.
            }
        }
        const std::uint32_t index = heads_[slot_at(0, now_)];
        if (index == no_index)
            return std::nullopt;
        disarm(index);
        return index;
    }

    NodeOf node_of_;
    std::array<std::uint32_t, levels * slots> heads_;
    std::array<std::uint64_t, levels> occupied_{};
    std::uint64_t now_ = 0;
};

}  // namespace instancer::detail
