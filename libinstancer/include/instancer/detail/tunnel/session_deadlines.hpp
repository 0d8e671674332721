// SPDX-License-Identifier: MIT
#pragma once

#include <set>
#include <utility>
#include <vector>

#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// The deadlines of a link's sessions. The queue holds the nearest one of each session.
class SessionDeadlines {
public:
    using TimePoint = TunnelSession::Clock::time_point;
    static constexpr TimePoint never = TunnelSession::never;

    void set(const TunnelSessionPtr& session, SessionDeadline which, TimePoint when);

    void clear(const TunnelSessionPtr& session, SessionDeadline which) { set(session, which, never); }

    /// Nothing becomes due for the session any more, unless a deadline is set again.
    void remove(const TunnelSessionPtr& session)
    {
        session->deadlines_.fill(never);
        schedule(session, never);
    }

    /// Removes all sessions that have a deadline, and returns them.
    std::vector<TunnelSessionPtr> take_all();

    TimePoint next() const noexcept { return queue_.empty() ? never : queue_.begin()->first; }

    /// A session of which something is due; that deadline is to be set again or cleared. Null if there is no such
    /// session.
    TunnelSessionPtr due(TimePoint now) const { return next() <= now ? queue_.begin()->second : nullptr; }

private:
    void schedule(const TunnelSessionPtr& session, TimePoint when);

    std::set<std::pair<TimePoint, TunnelSessionPtr>> queue_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/tunnel/session_deadlines.hpp>
#endif
