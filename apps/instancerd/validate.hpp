// SPDX-License-Identifier: MIT
#pragma once

#include "problem.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// Everything in complete settings that cannot work: combinations, and what they name on this machine.
Problems validate(const Settings& settings);

}  // namespace instancer::daemon
