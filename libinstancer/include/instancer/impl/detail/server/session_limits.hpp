// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/session.hpp>
#include <instancer/detail/server/session_limits.hpp>

namespace instancer::detail {

INSTANCER_DECL std::optional<SessionEnd> passed_limit(const ServerOptions& options, LinkState::Clock::time_point begin,
                                                      const LinkState& state, LinkState::Clock::time_point now)
{
    const auto passed = [now](ServerOptions::Duration limit, LinkState::Clock::time_point since) {
        return limit > limit.zero() && since != LinkState::Clock::time_point() && now - since >= limit;
    };
    if (passed(options.session_timeout, begin))
        return SessionEnd::too_long;
    if (passed(options.half_close_timeout, state.half_closed()))
        return SessionEnd::half_closed;
    if (passed(options.session_idle, state.last_active()))
        return SessionEnd::idle;
    const auto ended = state.instance_ended();
    if (ended != LinkState::Clock::time_point() &&
        passed(options.delivery_timeout, std::max(ended, state.last_active())))
        return SessionEnd::idle;
    return std::nullopt;
}

INSTANCER_DECL ComingEnd coming_end(const ServerOptions& options, LinkState::Clock::time_point begin,
                                    const LinkState& state)
{
    ComingEnd end;
    // After each byte the warning of a limit that is no longer than it comes early would come at once.
    const auto consider = [&](ServerOptions::Duration limit, LinkState::Clock::time_point since, bool by_silence) {
        if (limit > options.warn_before && since != LinkState::Clock::time_point() && since + limit < end.time)
            end = ComingEnd(since + limit, by_silence);
    };
    consider(options.session_timeout, begin, false);
    consider(options.half_close_timeout, state.half_closed(), false);
    consider(options.session_idle, state.last_active(), true);
    return end;
}

INSTANCER_DECL asio::awaitable<void> SessionLimits::run()
{
    const auto pause = interval();
    while (pause != pause.zero() && !stopping_) {
        timer_.expires_after(pause);
        co_await timer_.async_wait(as_result);
        const auto now = LinkState::Clock::now();
        sessions_.end_if([this, now](const Session& session) {
            return passed_limit(options_, session.begin(), session.state(), now);
        });
        warn(now);
    }
    stopped_.set();
}

INSTANCER_DECL void SessionLimits::end_all_at(LinkState::Clock::time_point time)
{
    last_ = time;
    // That may be sooner than it is looked again.
    warn(LinkState::Clock::now());
}

INSTANCER_DECL asio::awaitable<void> SessionLimits::stop()
{
    stopping_ = true;
    timer_.cancel();
    co_await stopped_.wait();
}

INSTANCER_DECL void SessionLimits::warn(LinkState::Clock::time_point now)
{
    if (options_.warn_before == options_.warn_before.zero())
        return;
    sessions_.for_each([this, now](Session& session) {
        auto end = coming_end(options_, session.begin(), session.state());
        if (last_ < end.time)
            end = ComingEnd(last_);
        if (session.is_joined() && end.time - options_.warn_before <= now)
            session.warn_once(end);
    });
}

INSTANCER_DECL ServerOptions::Duration SessionLimits::interval() const
{
    using namespace std::chrono_literals;
    auto shortest = ServerOptions::Duration::max();
    for (const auto limit : {options_.session_idle, options_.half_close_timeout, options_.session_timeout,
                             options_.delivery_timeout, options_.warn_before})
        if (limit > limit.zero())
            shortest = std::min(shortest, limit);
    if (shortest == shortest.max())
        return ServerOptions::Duration::zero();
    return std::clamp<ServerOptions::Duration>(shortest / 4, 1ms, 1s);
}

}  // namespace instancer::detail
