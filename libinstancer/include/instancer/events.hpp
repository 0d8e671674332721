// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <instancer/proof_of_work/proof_step.hpp>
#include <instancer/result.hpp>
#include <instancer/session.hpp>

namespace instancer {

/// Why an instance ended. Every instance ends for exactly one of these reasons.
enum class InstanceEnd {
    exited,         ///< It ended by itself.
    start_failed,   ///< It ended, or the backend gave up, before it was ready.
    start_timeout,  ///< It was not ready in time.
    abandoned,      ///< The client left while it started.
    culled,         ///< It made room for another one.
    expired,        ///< It reached its time to live.
    idle,           ///< No byte passed for too long.
    unused,         ///< Its last client left, and nobody came back in time.
    reset,          ///< Its owner reset its instances.
    stopped,        ///< The server stopped.
};

/// Its words, as the log has them.
constexpr std::string_view to_string(InstanceEnd end) noexcept
{
    switch (end) {
    case InstanceEnd::exited: return "exited";
    case InstanceEnd::start_failed: return "start failed";
    case InstanceEnd::start_timeout: return "start timeout";
    case InstanceEnd::abandoned: return "abandoned";
    case InstanceEnd::culled: return "culled";
    case InstanceEnd::expired: return "expired";
    case InstanceEnd::idle: return "idle";
    case InstanceEnd::unused: return "unused";
    case InstanceEnd::reset: return "reset by owner";
    case InstanceEnd::stopped: return "stopped";
    }
    return "unknown";
}

/// A summary of an instance that has ended.
class InstanceSummary {
public:
    std::string service;                    ///< The service of the instance.
    std::string name;                       ///< As the backend calls it.
    std::string owner;                      ///< Owner hash, 32 hex digits; empty for a warm instance nobody claimed.
    InstanceEnd end = InstanceEnd::exited;  ///< Why it ended.
    std::string detail;                     ///< Exit code, last output; may have several lines.
    std::chrono::nanoseconds age{0};        ///< Since its start.
    std::uint64_t bytes_up = 0;             ///< Bytes from clients to the instance.
    std::uint64_t bytes_down = 0;           ///< Bytes from the instance to clients.

    InstanceSummary() = default;
};

/// What the library reports. It does no logging of its own: derive, and override what is of interest. Several can
/// listen by an `EventList`.
///
/// A handler must neither block nor throw: it runs in the midst of serving, so a wait holds up every session of its
/// thread, and an exception may end a session or the program.
///
/// Threads: called from any thread of the server, from several at once.
/// Lifetime: must outlive everything that was given a reference to it.
class Events {
public:
    virtual ~Events() = default;

    /// A listener is open; `address` holds the port that it really got.
    virtual void listening(std::string_view service, std::string_view address) { (void)service, (void)address; }
    /// A client was taken in; `id` is that of its session.
    virtual void session_started(std::string_view service, std::uint64_t id, const ClientInfo& client)
    {
        (void)service, (void)id, (void)client;
    }
    /// The client of a session was joined to its instance, after `times`.
    virtual void session_joined(std::string_view service, std::uint64_t id, const SessionTimes& times)
    {
        (void)service, (void)id, (void)times;
    }
    /// A session has ended; the last that is heard of it.
    virtual void session_ended(const SessionSummary& summary) { (void)summary; }
    /// `owner` is empty for a warm instance.
    virtual void instance_started(std::string_view service, std::string_view name, std::string_view owner)
    {
        (void)service, (void)name, (void)owner;
    }
    /// An instance is ready for clients, `took` after its start began.
    virtual void instance_ready(std::string_view service, std::string_view name, std::chrono::nanoseconds took)
    {
        (void)service, (void)name, (void)took;
    }
    /// A warm instance got its owner.
    virtual void instance_claimed(std::string_view service, std::string_view name, std::string_view owner)
    {
        (void)service, (void)name, (void)owner;
    }
    /// An instance of a previous run was taken over.
    virtual void instance_adopted(std::string_view service, std::string_view name, std::string_view owner)
    {
        (void)service, (void)name, (void)owner;
    }
    /// An instance has ended; the last that is heard of it.
    virtual void instance_ended(const InstanceSummary& summary) { (void)summary; }
    /// A line that an instance wrote to its standard error, without its newline.
    virtual void output(std::string_view service, std::string_view instance, std::string_view line)
    {
        (void)service, (void)instance, (void)line;
    }
    /// A proof of work has come to `step`.
    virtual void proof(std::string_view service, ProofStep step) { (void)service, (void)step; }
    /// The backend has completed a call: `start`, `open`, `assign`, `personalize`, `note_extension` or `stop`. Attempts
    /// to open an instance that is not ready yet do not count.
    virtual void backend_called(std::string_view service, std::string_view call, bool failed)
    {
        (void)service, (void)call, (void)failed;
    }
    /// Something an operator should know and can mend; serving goes on.
    virtual void warning(std::string_view service, std::string_view text) { (void)service, (void)text; }
    /// The same about one session.
    virtual void session_warning(std::string_view service, std::uint64_t id, std::string_view text)
    {
        warning(service, "session " + std::to_string(id) + ": " + std::string(text));
    }
    /// News that need no action, such as the end of a problem that was a `warning`.
    virtual void notice(std::string_view service, std::string_view text) { (void)service, (void)text; }
};

}  // namespace instancer
