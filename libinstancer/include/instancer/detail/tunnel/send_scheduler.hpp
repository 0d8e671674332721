// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// Shares the room in the output of a link among the sessions that want to send: a share for each, in turn. While
/// nobody waits, one session may use all the room.
///
/// Only a session that can use its turn at once waits for one. A session that is held, because its other end takes no
/// data, would keep its turn from all others; `resume` puts it back in the queue.
class SendScheduler {
public:
    /// Bytes that may wait for the link, apart from short messages. Calculated: four turns.
    static constexpr std::size_t output_limit = 256 * 1024;

    /// Bytes that a session may send in one turn. Calculated: what one message can carry.
    static constexpr std::size_t share = 64 * 1024;

    /// What the session may send now, on top of `output` bytes that wait for the link. Its turn is over.
    std::size_t take(TunnelSession& session, std::size_t output) noexcept
    {
        const auto turn = session.granted_;
        leave(session);
        return std::max(turn, free_room(output));
    }

    /// The session could not send all, and is told when it can.
    void wait(const TunnelSessionPtr& session)
    {
        session->wants_to_send_ = true;
        enqueue(session);
    }

    /// The session is held no more. If it wants to send, it is told when its turn has come.
    void resume(const TunnelSessionPtr& session)
    {
        if (!session->wants_to_send_)
            session->change();
        else if (session->granted_ == 0)
            enqueue(session);
    }

    /// The session sends nothing more, unless it waits again.
    void leave(TunnelSession& session) noexcept
    {
        session.wants_to_send_ = false;
        granted_ -= std::exchange(session.granted_, 0);
    }

    /// Gives turns to the sessions that have waited longest, as far as there is room.
    void grant(std::size_t output)
    {
        while (!queue_.empty() && output + granted_ + share <= output_limit) {
            const auto session = std::move(queue_.front());
            queue_.pop_front();
            session->queued_ = false;
            if (!session->wants_to_send_ || session->is_held())
                continue;
            session->granted_ = share;
            granted_ += share;
            session->change();
        }
    }

    /// Whether the session may try to send: it has its turn, or does not wait for one.
    static bool may_send(const TunnelSession& session) noexcept
    {
        return !session.is_held() && (!session.wants_to_send_ || session.granted_ > 0);
    }

    void clear() noexcept { queue_.clear(); }

private:
    void enqueue(const TunnelSessionPtr& session)
    {
        if (!session->is_held() && !std::exchange(session->queued_, true))
            queue_.push_back(session);
    }

    std::size_t free_room(std::size_t output) const noexcept
    {
        const auto used = output + granted_;
        return queue_.empty() && used < output_limit ? output_limit - used : 0;
    }

    std::deque<TunnelSessionPtr> queue_;
    std::size_t granted_ = 0;  ///< To all sessions.
};

}  // namespace instancer::detail
