// SPDX-License-Identifier: MIT
// `instancerd ctl`: asks a daemon that runs, and steers it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/command_line.hpp"
#include "options/commands.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> ctl_options();

/// `ctl`, and each of its commands.
std::vector<CommandEntry> ctl_commands();

/// What follows `ctl` on the command line, as `words` that are no options and the settings that options have filled in.
Command make_ctl_command(const std::vector<std::string>& words, const Settings& settings);

/// What `--help` shows before the options: of the command `word`, or of `ctl` itself.
std::string ctl_usage(std::string_view word);

}  // namespace instancer::daemon
