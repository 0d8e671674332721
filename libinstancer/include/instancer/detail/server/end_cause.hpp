// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstdint>

#include <asio/error.hpp>

#include <instancer/bridge.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>
#include <instancer/session_end.hpp>

namespace instancer::detail {

inline bool is_system_error(const Error& error) noexcept { return error.code().category() != error_category(); }

/// Why the session of a client ends that was not admitted.
inline SessionEnd end_of_admission(const Error& error) noexcept
{
    if (error == std::error_code(asio::error::operation_aborted))
        return SessionEnd::stopped;
    if (is_system_error(error))
        return SessionEnd::client_left;
    switch (static_cast<Errc>(error.code().value())) {
    case Errc::timeout: return SessionEnd::auth_timeout;
    case Errc::rejected:
    case Errc::cancelled: return SessionEnd::authentication_failed;
    case Errc::denied: return SessionEnd::access_denied;
    case Errc::full:
    case Errc::owner_full: return SessionEnd::limit_reached;
    case Errc::backend_unavailable: return SessionEnd::unavailable;
    case Errc::stopping: return SessionEnd::stopped;
    default: return SessionEnd::failed;
    }
}

/// Why the session of a client ends that got no instance, or could not be connected to it.
inline SessionEnd end_of_connecting(const Error& error) noexcept
{
    // The system's answer to the attempt to reach the instance.
    if (is_system_error(error))
        return SessionEnd::start_failed;
    switch (static_cast<Errc>(error.code().value())) {
    case Errc::full:
    case Errc::owner_full: return SessionEnd::limit_reached;
    case Errc::culled: return SessionEnd::culled;
    case Errc::queue_timeout: return SessionEnd::queue_timeout;
    case Errc::backend_unavailable: return SessionEnd::unavailable;
    case Errc::reset: return SessionEnd::reset;
    case Errc::stopping: return SessionEnd::stopped;
    case Errc::cancelled: return SessionEnd::client_left;
    case Errc::start_failed:
    case Errc::start_timeout:
    case Errc::not_ready:
    case Errc::instance_gone: return SessionEnd::start_failed;
    default: return SessionEnd::failed;
    }
}

/// Why a session ends whose bridge has come to its end; `exited` says that its instance had ended by itself.
inline SessionEnd end_of_bridge(BridgeEnd end, bool exited) noexcept
{
    switch (end) {
    case BridgeEnd::completed: return SessionEnd::completed;
    case BridgeEnd::client_reset: return SessionEnd::client_reset;
    case BridgeEnd::instance_reset: return exited ? SessionEnd::instance_ended : SessionEnd::instance_reset;
    case BridgeEnd::ended_by_hook: return SessionEnd::ended_by_hook;
    case BridgeEnd::hook_failed: return SessionEnd::failed;
    case BridgeEnd::cancelled: break;
    }
    return SessionEnd::stopped;
}

/// Why the sessions of an instance end with it.
inline SessionEnd end_of_instance(InstanceEnd end) noexcept
{
    switch (end) {
    case InstanceEnd::exited: return SessionEnd::instance_ended;
    case InstanceEnd::culled: return SessionEnd::culled;
    case InstanceEnd::expired: return SessionEnd::expired;
    case InstanceEnd::idle: return SessionEnd::idle;
    case InstanceEnd::reset: return SessionEnd::reset;
    case InstanceEnd::start_failed:
    case InstanceEnd::start_timeout:
    case InstanceEnd::abandoned:
    case InstanceEnd::unused:
    case InstanceEnd::stopped: break;
    }
    return SessionEnd::stopped;
}

/// Why one session ends: the first cause stays.
///
/// Threads: any.
class EndCause {
public:
    /// False when there was a cause already.
    bool set(SessionEnd end) noexcept
    {
        auto expected = none;
        return value_.compare_exchange_strong(expected, static_cast<std::uint8_t>(end));
    }

    /// Whether the session is over, or about to be.
    bool is_set() const noexcept { return value_ != none; }

    /// The cause, once it is set.
    SessionEnd get() const noexcept { return is_set() ? static_cast<SessionEnd>(value_.load()) : SessionEnd::failed; }

private:
    static constexpr std::uint8_t none = 255;

    std::atomic<std::uint8_t> value_ = none;
};

}  // namespace instancer::detail
