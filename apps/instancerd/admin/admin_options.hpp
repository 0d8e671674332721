// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>

#include "config/problem.hpp"
#include "config/settings.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

/// The options of the daemon that concern its admin address.
std::span<const Option> admin_options();

/// What of them cannot work.
void check_admin(const Settings& settings, Problems& problems);

/// The token that `file` holds. The error names the file and the remedy.
///
/// Threads: any.
Parsed<std::string> read_admin_token(const std::string& file);

}  // namespace instancer::daemon
