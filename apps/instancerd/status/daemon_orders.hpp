// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <asio/awaitable.hpp>

#include "config/settings.hpp"
#include "reload/reload_report.hpp"

namespace instancer::daemon {

/// What operators ask and order of the daemon as a whole.
///
/// Threads: the control executor of the workers.
class DaemonOrders {
public:
    virtual ~DaemonOrders() = default;

    /// Has the daemon follow its configuration as that is now; with `dry_run` it only says what that would change.
    virtual asio::awaitable<ReloadReport> reload(bool dry_run) = 0;

    /// Opens every file anew that something like logrotate may have moved away. Says what went wrong.
    virtual asio::awaitable<std::vector<std::string>> reopen_files() = 0;

    /// The options of the daemon that are in force. Its services have their own.
    virtual const Settings& in_force() const = 0;
};

}  // namespace instancer::daemon
