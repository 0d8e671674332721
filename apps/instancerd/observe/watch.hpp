// SPDX-License-Identifier: MIT
// What the daemon lets others see, beside its log: the access log, and metrics.
#pragma once

#include <span>

#include "config/problem.hpp"
#include "config/settings.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> watch_options();

/// What of its settings cannot work.
void check_watch(const Settings& settings, Problems& problems);

}  // namespace instancer::daemon
