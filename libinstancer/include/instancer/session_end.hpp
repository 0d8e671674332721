// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace instancer {

/// Why a session ended. Every session ends for exactly one of these reasons.
enum class SessionEnd {
    completed,              ///< Both sides ended in order.
    client_reset,           ///< The client reset the connection.
    instance_reset,         ///< The instance reset the connection.
    instance_ended,         ///< The instance ended, and so did its connection.
    client_left,            ///< The client left before its instance was ready.
    access_denied,          ///< The client's address is not let in.
    authentication_failed,  ///< The client did not identify itself, or is not known.
    auth_timeout,           ///< The client did not identify itself in time.
    displaced,              ///< Others needed its place before the client had identified itself.
    limit_reached,          ///< A cap was reached.
    queue_timeout,          ///< Waited for an instance for too long.
    start_failed,           ///< The instance did not start or did not become ready.
    unavailable,            ///< The backend cannot start instances now.
    culled,                 ///< The instance made room for another one.
    expired,                ///< The instance reached its time to live.
    idle,                   ///< No byte passed for too long.
    half_closed,            ///< One direction had ended, and the other one went on for too long.
    too_long,               ///< No session may last longer.
    reset,                  ///< The owner reset its instances.
    stopped,                ///< The server stopped.
    ended_by_hook,          ///< A hook on its bytes ended it.
    killed,                 ///< An operator ended it.
    failed,                 ///< Something else; the error says what.
};

/// Its words, as the log has them.
constexpr std::string_view to_string(SessionEnd end) noexcept
{
    switch (end) {
    case SessionEnd::completed: return "completed";
    case SessionEnd::client_reset: return "client reset";
    case SessionEnd::instance_reset: return "instance reset";
    case SessionEnd::instance_ended: return "instance ended";
    case SessionEnd::client_left: return "client left";
    case SessionEnd::access_denied: return "denied";
    case SessionEnd::authentication_failed: return "rejected";
    case SessionEnd::auth_timeout: return "authentication timeout";
    case SessionEnd::displaced: return "displaced";
    case SessionEnd::limit_reached: return "refused";
    case SessionEnd::queue_timeout: return "queue timeout";
    case SessionEnd::start_failed: return "start failed";
    case SessionEnd::unavailable: return "backend unavailable";
    case SessionEnd::culled: return "culled";
    case SessionEnd::expired: return "expired";
    case SessionEnd::idle: return "idle";
    case SessionEnd::half_closed: return "half-close timeout";
    case SessionEnd::too_long: return "session timeout";
    case SessionEnd::reset: return "reset by owner";
    case SessionEnd::stopped: return "stopped";
    case SessionEnd::ended_by_hook: return "ended by hook";
    case SessionEnd::killed: return "killed by operator";
    case SessionEnd::failed: return "failed";
    }
    return "unknown";
}

}  // namespace instancer
