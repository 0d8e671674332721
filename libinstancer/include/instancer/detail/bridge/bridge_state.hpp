// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <instancer/bridge.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

/// What a bridge decides, without I/O: the bridge says what has happened and does what it is told.
///
///     open --ended--> draining --passed--> ended    in order
///     open --lost---> draining --failed--> reset    the source was reset; what that had sent still arrives
///
/// A reset ends both halves, once the other end has got what was sent to it before. The instance can take nothing more
/// and still answer: then the upper half alone is reset, and the answer is delivered before the client sees the reset.
/// The first cause that ends the bridge wins.
class BridgeState {
public:
    /// One direction, from its source to its target.
    enum class Half : std::uint8_t {
        open,      ///< The source may send more.
        draining,  ///< The source has ended or was reset, and the target has yet to get what came before that.
        ended,     ///< The target was told the end of the source.
        reset,     ///< Nothing more is read or written.
    };

    /// Which half.
    enum class Way : std::uint8_t {
        up,    ///< From the client to the instance.
        down,  ///< From the instance to the client.
    };

    /// What has happened to a half.
    enum class Event : std::uint8_t {
        ended,    ///< The end of the source was read, and everything before it was written.
        passed,   ///< The target was told that end.
        lost,     ///< The source was reset; there may be more to read.
        failed,   ///< The source was reset, and there is no more to read.
        refused,  ///< The target takes nothing more.
    };

    /// What the bridge has to do now, in this order. Then it asks for `end`.
    struct Step {
        bool drop = false;      ///< Throw away what the target has yet to get.
        bool pass_end = false;  ///< Tell the target the end, and report Event::passed.
        bool drain = false;     ///< Watch until everything is delivered, or stalls, and call `drained`.

        bool operator==(const Step&) const = default;
    };

    /// Says what follows from `event`; nothing once the bridge has ended.
    Step on(Way way, Event event) noexcept;

    /// What was sent before a reset is delivered, or is taken no more.
    void drained() noexcept
    {
        if (lost_)
            finish(end_of_lost());
    }

    /// The instance's process has ended, and all that it said is delivered. A reset that has yet to be passed on stays.
    void instance_ended(bool was_reset) noexcept
    {
        if (!lost_)
            finish(was_reset ? BridgeEnd::instance_reset : BridgeEnd::completed);
    }

    /// Ends the bridge.
    void finish(BridgeEnd end) noexcept
    {
        if (!end_)
            end_ = end;
    }

    /// How the bridge has ended, if it has.
    const std::optional<BridgeEnd>& end() const noexcept { return end_; }

    Half half(Way way) const noexcept { return halves_[static_cast<std::size_t>(way)]; }

    /// Whether the source of a half is to be read.
    bool reads(Way way) const noexcept
    {
        return !end_ && (half(way) == Half::open || (half(way) == Half::draining && lost_ == way));
    }

    /// The half whose source was reset.
    const std::optional<Way>& lost() const noexcept { return lost_; }

    /// Whether both ends are closed once the end of `way` has passed, so that its target needs no end of its own.
    bool closes_after(Way way) const noexcept { return half(other(way)) == Half::ended; }

    static Way other(Way way) noexcept { return way == Way::up ? Way::down : Way::up; }

private:
    void set(Way way, Half half) noexcept { halves_[static_cast<std::size_t>(way)] = half; }

    Step on_ended(Way way) noexcept;
    Step on_passed(Way way) noexcept;
    Step on_failed(Way way) noexcept;
    Step on_lost(Way way) noexcept;
    Step on_refused(Way way) noexcept;

    /// The source of `way` was reset: the other half is over, and this one goes on as `left`.
    Step lose(Way way, Half left) noexcept;

    BridgeEnd end_of_lost() const noexcept
    {
        return lost_ == Way::up ? BridgeEnd::client_reset : BridgeEnd::instance_reset;
    }

    std::array<Half, 2> halves_{Half::open, Half::open};
    std::optional<Way> lost_;
    std::optional<BridgeEnd> end_;
};

/// Tells the link that the end of a half has passed. The bridge may have been told to end when this returns.
inline void note_passed(Link& link, BridgeState::Way way)
{
    link.state().half_close(LinkState::Clock::now());
    if (way == BridgeState::Way::down)
        link.delivered();
}

/// Lets go of both ends as the end of a bridge demands.
inline void end_streams(Link& link, BridgeEnd end)
{
    if (end != BridgeEnd::completed) {
        link.client().abort();
        link.instance().abort();
        return;
    }
    link.client().close();
    // Nobody listens at an instance that has ended: it is let go at once, so that its port does not stay taken.
    if (link.over())
        link.instance().abort();
    else
        link.instance().close();
}

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/bridge/bridge_state.hpp>
#endif
