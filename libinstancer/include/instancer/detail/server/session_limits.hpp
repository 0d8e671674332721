// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <optional>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/server/session_table.hpp>
#include <instancer/server_options.hpp>
#include <instancer/session.hpp>

namespace instancer::detail {

/// The limit of time that a session has reached which began at `begin`; nothing when it may go on.
INSTANCER_DECL std::optional<SessionEnd> passed_limit(const ServerOptions& options, LinkState::Clock::time_point begin,
                                                      const LinkState& state, LinkState::Clock::time_point now);

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

    /// Watches until `stop`. Once.
    asio::awaitable<void> run();

    /// Completes when `run` has.
    asio::awaitable<void> stop();

private:
    /// Zero without any limit.
    ServerOptions::Duration interval() const;

    const ServerOptions& options_;
    SessionTable& sessions_;
    asio::steady_timer timer_;
    bool stopping_ = false;
    AsyncEvent stopped_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/server/session_limits.hpp>
#endif
