// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "reload/reload_plan.hpp"

namespace instancer::daemon {

/// What came of reading the configuration again, or would.
class ReloadReport {
public:
    explicit ReloadReport(bool only_asked = false) : dry_run(only_asked) {}

    bool dry_run;                     ///< Nothing was to be changed.
    std::vector<std::string> errors;  ///< Why nothing was changed, or would be. Empty where the configuration is good.
    ReloadPlan plan;                  ///< What has changed, or would.

    /// Nothing stood in the way.
    bool succeeded() const noexcept { return errors.empty(); }

    /// The options of the daemon, and of its services, that take a restart: `threads`, `services.web.io`.
    std::vector<std::string> restarts() const;
};

}  // namespace instancer::daemon
