// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/bridge.hpp>
#include <instancer/coming_end.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/session_table.hpp>
#include <instancer/server_options.hpp>
#include <instancer/session.hpp>

namespace instancer::detail {

/// The limit of time that a session has reached which began at `begin`; nothing when it may go on.
INSTANCER_DECL std::optional<SessionEnd> passed_limit(const ServerOptions& options, LinkState::Clock::time_point begin,
                                                      const LinkState& state, LinkState::Clock::time_point now);

/// The next end by time of a session that began at `begin`, of those that `options` have it warned of.
INSTANCER_DECL ComingEnd coming_end(const ServerOptions& options, LinkState::Clock::time_point begin,
                                    const LinkState& state);

/// Ends the sessions that have reached a limit, now and then: stamps cost less than a timer for each.
///
/// Threads: the control executor.
class SessionLimits {
public:
    /// Lifetime: `options` and `sessions` must outlive it.
    SessionLimits(const asio::any_io_executor& control, const ServerOptions& options, SessionTable& sessions)
        : options_(options), sessions_(sessions), timer_(control), stopped_(control)
    {
    }

    /// All sessions that there are then end at `time`; they are warned of that.
    void end_all_at(LinkState::Clock::time_point time);

    /// Watches until `stop`. Once.
    asio::awaitable<void> run();

    /// Completes when `run` has.
    asio::awaitable<void> stop();

private:
    /// Zero without any limit.
    ServerOptions::Duration interval() const;

    void warn(LinkState::Clock::time_point now);

    const ServerOptions& options_;
    SessionTable& sessions_;
    asio::steady_timer timer_;
    LinkState::Clock::time_point last_ = LinkState::Clock::time_point::max();  ///< No session goes on longer.
    bool stopping_ = false;
    AsyncEvent stopped_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/server/session_limits.hpp>
#endif
