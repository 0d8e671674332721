// SPDX-License-Identifier: MIT
#pragma once

#include "config/settings.hpp"

namespace instancer::daemon {

/// Runs the services until a signal ends them. Returns the exit code: 0, or 1 with the reason in the log.
int serve(const Settings& settings);

}  // namespace instancer::daemon
