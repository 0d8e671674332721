// SPDX-License-Identifier: MIT
#pragma once

#include "problem.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// Everything in complete settings that cannot work: combinations, and what they name on this machine. Where nothing is
/// wrong, a warning in the log for what is only dangerous.
Problems validate(const Settings& settings);

}  // namespace instancer::daemon
