// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "problem.hpp"
#include "settings.hpp"

namespace instancer::daemon {

/// Everything in complete settings that cannot work: combinations, and what they name on this machine.
Problems validate(const Settings& settings);

/// What works, and is dangerous where it is not meant; often nothing. To refuse it would break what root tries out by
/// hand.
std::string danger_of(const Settings& settings, const ServiceSettings& service);

/// What works less well on this machine than the settings say.
std::vector<std::string> weaknesses_of(const Settings& settings, const ServiceSettings& service);

/// Limits of one instance that this machine cannot set for it as a whole. The start finds out for sure, and says so.
std::vector<std::string> unbound_limits_of(const ServiceSettings& service);

}  // namespace instancer::daemon
