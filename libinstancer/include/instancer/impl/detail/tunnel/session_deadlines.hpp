// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/session_deadlines.hpp>

namespace instancer::detail {

INSTANCER_DECL void SessionDeadlines::set(const TunnelSessionPtr& session, SessionDeadline which, TimePoint when)
{
    session->deadlines_[static_cast<std::size_t>(which)] = when;
    schedule(session, *std::min_element(session->deadlines_.begin(), session->deadlines_.end()));
}

INSTANCER_DECL std::vector<TunnelSessionPtr> SessionDeadlines::take_all()
{
    std::vector<TunnelSessionPtr> all;
    while (!queue_.empty()) {
        all.push_back(queue_.begin()->second);
        remove(all.back());
    }
    return all;
}

INSTANCER_DECL void SessionDeadlines::schedule(const TunnelSessionPtr& session, TimePoint when)
{
    const auto scheduled = std::exchange(session->scheduled_, when);
    if (scheduled == when)
        return;
    if (scheduled != never)
        queue_.erase({scheduled, session});
    if (when != never)
        queue_.emplace(when, session);
}

}  // namespace instancer::detail
