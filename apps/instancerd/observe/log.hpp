// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/upstream_status.hpp>
#include <instancer/event_list.hpp>
#include <instancer/events.hpp>

#include "authentication/owners.hpp"
#include "config/settings.hpp"
#include "observe/denied_tally.hpp"
#include "observe/log_event.hpp"

namespace spdlog {
class logger;
namespace details {
class thread_pool;
}
}  // namespace spdlog

namespace instancer::daemon {

/// Writes what happens to standard error, as lines to read or as one JSON object a line.
///
/// Nothing that an instance or a client sends can forge a line: control characters are escaped, long lines cut.
///
/// Whoever logs never waits: while nobody reads standard error, the newest lines are kept and the oldest are dropped
/// and counted.
class Log final : public Events {
public:
    Log(LogLevel level, LogFormat format);
    ~Log() override;

    /// From now on. Threads: any.
    void set_level(LogLevel level);

    void info(std::string_view text) { write(LogLevel::info, LogEvent::notice, {}, {}, text); }
    void error(std::string_view text)
    {
        observers_.warning({}, text);
        write(LogLevel::error, LogEvent::error, {}, {}, text);
    }

    /// From now on the log has these names beside the hashes of the service's owners.
    ///
    /// Threads: any.
    void name_owners(const std::string& service, Owners owners);

    /// What a list of the service calls that owner; empty where none names it.
    ///
    /// Threads: any.
    std::string label_of(std::string_view service, std::string_view owner) const;

    /// Lets `observer` hear all that the log hears, before the log does. Before anything is logged.
    void add_observer(Events& observer) { observers_.add(observer); }

    /// One line about an instance that runs.
    void instance(std::string_view service, std::string_view name, std::string_view state, std::string_view owner,
                  std::chrono::nanoseconds age, std::size_t clients, std::uint64_t up, std::uint64_t down);

    /// A piece of what passed through a session. Where the log falls behind, these lines are the first to be lost.
    void traffic(const SessionInfo& session, bool from_client, std::string_view text);

    /// One line about a session that goes on.
    void session(const SessionStatus& session);

    /// News of a session, which `text` names as well.
    void of_session(LogLevel level, std::string_view service, std::uint64_t id, std::string_view text);

    /// One line about an upstream.
    void upstream(std::string_view service, const UpstreamStatus& status);

    void listening(std::string_view service, std::string_view address) override;
    void session_started(std::string_view service, std::uint64_t id, const ClientInfo& client) override;
    void session_ended(const SessionSummary& summary) override;
    void instance_started(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_claimed(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_adopted(std::string_view service, std::string_view name, std::string_view owner) override;
    void instance_ended(const InstanceSummary& summary) override;
    void output(std::string_view service, std::string_view instance, std::string_view line) override;
    void warning(std::string_view service, std::string_view text) override;
    void session_warning(std::string_view service, std::uint64_t id, std::string_view text) override;
    void notice(std::string_view service, std::string_view text) override;

private:
    class Sink;

    static constexpr std::size_t queue_lines = 8192;            ///< A guess: 1 MiB of usual lines.
    static constexpr std::chrono::seconds displaced_pause{10};  ///< A guess.

    nlohmann::ordered_json whose(const SessionInfo& session) const;
    void add_owner(nlohmann::ordered_json& details, std::string_view service, std::string_view owner) const;
    void report_losses();
    void report_displaced(std::chrono::seconds pause = displaced_pause);

    /// Whether a denied connection has a line of its own.
    bool tells_denied(const SessionSummary& summary);

    void report_denied();
    void write_denied(const std::vector<DeniedTally::Summary>& all);
    bool wants(LogLevel level) const;
    void write(LogLevel level, LogEvent event, std::string_view service, std::string_view instance,
               std::string_view text);

    /// `details` follow the text. `fields` are for programs: lines to read say the same in words.
    void write(LogLevel level, LogEvent event, std::string_view service, std::string_view instance,
               std::string_view text, const nlohmann::ordered_json& details, const nlohmann::ordered_json& fields);

    EventList observers_;
    LogFormat format_;
    mutable std::mutex owners_mutex_;
    std::map<std::string, Owners, std::less<>> owners_;  ///< By service.
    std::shared_ptr<Sink> sink_;
    std::shared_ptr<spdlog::details::thread_pool> threads_;
    std::shared_ptr<spdlog::logger> logger_;
    std::atomic<std::size_t> traffic_lost_ = 0;
    std::atomic<std::size_t> losses_told_ = 0;
    std::atomic<std::size_t> displaced_ = 0;  ///< Clients that were, and nobody has been told of.
    std::atomic<std::chrono::steady_clock::rep> displaced_told_at_;
    std::mutex denied_mutex_;
    DeniedTally denied_;
};

}  // namespace instancer::daemon
