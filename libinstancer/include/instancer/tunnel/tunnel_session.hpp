// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <instancer/detail/container/byte_queue.hpp>
#include <instancer/tunnel/message.hpp>

namespace instancer {

namespace detail {

class ReceiveBuffers;
class SendScheduler;
class SessionDeadlines;
class TunnelSessionTable;

/// What time brings to a session.
enum class SessionDeadline : std::size_t {
    hold,    ///< Data may follow the opening; where there was none, the session is opened.
    linger,  ///< A half-close that the protocol does not know ends the session.
    stall,   ///< It has held up the link for long.
};

}  // namespace detail

/// One user's connection through a link, as a TunnelMultiplexer keeps it.
class TunnelSession {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;

    /// `negotiated` as in `negotiated()`.
    TunnelSession(TunnelAddress user, TunnelAddress target, std::string name, bool negotiated)
        : user_(user), target_(target), name_(std::move(name)), negotiated_(negotiated)
    {
    }

    /// What the session is called on the link: the user's address, or a made-up one.
    const TunnelAddress& user() const noexcept { return user_; }
    /// Where it leads.
    const TunnelAddress& target() const noexcept { return target_; }

    /// The user's real address; empty at the agent.
    const std::string& name() const noexcept { return name_; }

    /// Whether both ends have windows and half-close, because both are ours.
    bool negotiated() const noexcept { return negotiated_; }

    /// Called whenever reading, writing or waiting for the end may get on. It must not call the multiplexer.
    void on_change(std::function<void()> listener) { changed_ = std::move(listener); }

    /// Asked when the other end has been silent for long: how many bytes were read here and have yet to arrive where
    /// they go. As long as that changes, the session is not given up.
    void on_silence(std::function<std::size_t()> undelivered) { undelivered_ = std::move(undelivered); }

    /// Whether a read gives something: data, the end, or why there is none.
    bool readable() const noexcept { return !input_.empty() || input_ended_ || broken_; }

    /// Whether it has ended otherwise than in order.
    bool broken() const noexcept { return broken_; }

private:
    friend class TunnelMultiplexer;
    friend class detail::ReceiveBuffers;
    friend class detail::SendScheduler;
    friend class detail::SessionDeadlines;
    friend class detail::TunnelSessionTable;

    using TimePoint = Clock::time_point;
    static constexpr TimePoint never = TimePoint::max();

    void change() const
    {
        if (changed_)
            changed_();
    }

    /// Whether the other end is not ready for data, however much room the link has.
    bool is_held() const noexcept
    {
        return negotiated_ ? credit_ == 0 : opened_ && deadline(detail::SessionDeadline::hold) != never;
    }

    /// Whether any of what came has been delivered since it was last asked, and more is to be.
    bool delivers()
    {
        const auto left = input_.size() + (undelivered_ ? undelivered_() : 0);
        return std::exchange(left_, left) != left && left > 0;
    }

    TimePoint deadline(detail::SessionDeadline which) const noexcept
    {
        return deadlines_[static_cast<std::size_t>(which)];
    }

    const TunnelAddress user_, target_;
    const std::string name_;
    const bool negotiated_;
    std::function<void()> changed_;
    std::function<std::size_t()> undelivered_;

    bool input_ended_ = false;   ///< Nothing follows what is in `input_`.
    bool output_ended_ = false;  ///< By us.
    bool broken_ = false;
    bool closed_ = false;       ///< Nobody reads or writes here any more.
    bool peer_closed_ = false;  ///< The other end is over, without a half-close.
    bool opened_ = false;       ///< The other end has heard of it.
    bool answered_ = false;     ///< We have heard from the other end.
    std::uint64_t credit_ = 0;  ///< What may still be sent.
    std::size_t left_ = 0;      ///< To be delivered, when it was last asked.

    // ReceiveBuffers.
    detail::ByteQueue input_;
    std::size_t consumed_ = 0;  ///< Of the input since the other end was last given credit.
    bool holds_up_link_ = false;

    // SendScheduler.
    bool wants_to_send_ = false;  ///< And could not: waits for its turn, or is held.
    bool queued_ = false;         ///< For a turn.
    std::size_t granted_ = 0;     ///< Of the room in the link's output: its turn.

    // TunnelSessionTable.
    bool ending_ = false;  ///< We have said that it is over, and the other end is to answer.

    // SessionDeadlines.
    std::array<TimePoint, 3> deadlines_{never, never, never};
    TimePoint scheduled_ = never;
};

/// A session, which its link and its stream share.
using TunnelSessionPtr = std::shared_ptr<TunnelSession>;

}  // namespace instancer
