// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "config/problem.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// Everything in complete settings that cannot work: combinations, and what they name on this machine.
Problems validate(const Settings& settings);

/// What works, and is dangerous or wrong where it is not meant; often nothing. To refuse it would break what is tried
/// out by hand.
std::vector<std::string> warnings_of(const Settings& settings, const ServiceSettings& service);

/// Limits of one instance that this machine cannot set for it as a whole. The start finds out for sure, and says so.
std::vector<std::string> unbound_limits_of(const Settings& settings, const ServiceSettings& service);

}  // namespace instancer::daemon
