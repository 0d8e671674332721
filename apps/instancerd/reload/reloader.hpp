// SPDX-License-Identifier: MIT
// Puts a configuration into force while services run.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>

#include "config/settings.hpp"
#include "daemon/preparation.hpp"
#include "daemon/service_list.hpp"
#include "reload/reload_report.hpp"

namespace instancer::daemon {

/// Reads the configuration again, and has the services follow it.
///
/// A service whose options have changed is prepared anew, with the same listening sockets and the same instances. It
/// takes the place of the one that runs once it takes clients in; where it cannot start, that one goes on.
///
/// Lifetime: what it is made of must outlive it.
/// Threads: the control executor.
class Reloader {
public:
    /// `arguments` are those of the command line, which names the configuration, and `first` is what they said.
    Reloader(std::vector<std::string> arguments, const Settings& first, ServiceContext& context, ServiceList& services,
             HelperThreads& reader);

    /// Puts what the configuration says now into force, or only says what that would change.
    ///
    /// Concurrency: one after the other.
    /// Cancellation: none.
    asio::awaitable<ReloadReport> reload(bool dry_run);

    /// The daemon ends: nothing is put into force any more.
    void close() noexcept { closed_ = true; }

    /// The options of the daemon that are in force. Its services have their own.
    const Settings& in_force() const noexcept { return in_force_; }

private:
    /// A service that runs, or is to run once it is prepared.
    class Running;
    /// A service that is prepared, and what it takes the place of.
    class Successor;
    using Successors = std::vector<Successor>;

    std::vector<Running> running_services() const;
    void apply(const std::shared_ptr<const Settings>& now, ReloadReport& report);
    Parsed<Successors> prepare(const ReloadPlan& plan, const std::vector<Running>& running,
                               const std::shared_ptr<const Settings>& now);
    Parsed<Successor> prepare(const ServiceChange& change, const std::vector<Running>& running,
                              const std::shared_ptr<const Settings>& now, const std::set<std::string>& kept);
    void commit(const ReloadPlan& plan, Successors successors, const Settings& now);
    void remove(const std::string& service);
    std::set<std::string> holders() const;

    const std::vector<std::string> arguments_;
    Settings in_force_;
    ServiceContext& context_;
    ServiceList& services_;
    HelperThreads& reader_;
    std::shared_ptr<AsyncEvent> last_turn_;  ///< Is over when the last call is.
    bool closed_ = false;
};

/// Says in the log what came of it.
void log_report(const ReloadReport& report, const std::string& file, Log& log);

}  // namespace instancer::daemon
