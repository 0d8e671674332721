// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "config/settings.hpp"

namespace instancer::daemon {

/// Runs the services until a signal ends them. Returns the exit code: 0, or 1 with the reason in the log. `arguments`
/// are those of the command line, by which a configuration is read again.
int serve(const Settings& settings, std::vector<std::string> arguments);

}  // namespace instancer::daemon
