// SPDX-License-Identifier: MIT
// Flags: a secret for each instance, made from a template.
#pragma once

#include <span>
#include <string>
#include <vector>

#include <instancer/backend/instance_secret.hpp>

#include "config/checker.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> flag_options();

/// What of the flags cannot work.
void check_flags(Checker& checker);

/// What works, and lets flags be seen or guessed.
std::vector<std::string> warn_of_flags(const Settings& settings, const ServiceSettings& service);

/// How the service's instances get their flags.
///
/// Errors: it throws a std::runtime_error when the key cannot be read.
InstanceSecret make_flag_secret(const ServiceSettings& service);

}  // namespace instancer::daemon
