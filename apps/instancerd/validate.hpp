// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "problem.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// Everything in complete settings that cannot work: combinations, and what they name on this machine.
Problems validate(const Settings& settings);

/// What works, and is dangerous where it is not meant; often nothing. To refuse it would break what root tries out by
/// hand.
std::string danger_of(const Settings& settings, const ServiceSettings& service);

}  // namespace instancer::daemon
