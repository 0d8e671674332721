// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// Who may send while the output of a link has not room for all: each session that wants to gets a part of it, one
/// after the other. Who wants to send while nobody waits may use all the room that there is.
class TunnelTurns {
public:
    /// What may wait for the link, but for short messages.
    static constexpr std::size_t output_limit = 256 * 1024;

    /// What anybody may send now, on top of `output` bytes that wait.
    std::size_t free_room(std::size_t output) const noexcept
    {
        const auto used = output + granted_;
        return waiting_.empty() && used < output_limit ? output_limit - used : 0;
    }

    /// What the session may send now. A turn that is not used up is over all the same.
    std::size_t take(TunnelSession& session, std::size_t output) noexcept
    {
        const auto turn = std::exchange(session.granted_, 0);
        granted_ -= turn;
        return turn > 0 ? turn : free_room(output);
    }

    void wait(const TunnelSessionPtr& session)
    {
        if (!std::exchange(session->blocked_, true))
            waiting_.push_back(session);
    }

    /// Gives turns to those that wait for longest, as far as there is room.
    void grant(std::size_t output)
    {
        while (!waiting_.empty() && output + granted_ + size <= output_limit) {
            const auto session = std::move(waiting_.front());
            waiting_.pop_front();
            session->blocked_ = false;
            if (session->closed_)
                continue;
            session->granted_ += size;
            granted_ += size;
            session->change();
        }
    }

    void clear() noexcept { waiting_.clear(); }

private:
    static constexpr std::size_t size = 64 * 1024;

    std::deque<TunnelSessionPtr> waiting_;
    std::size_t granted_ = 0;  ///< To all sessions.
};

}  // namespace instancer::detail
