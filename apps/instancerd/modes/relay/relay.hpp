// SPDX-License-Identifier: MIT
// What is the relay's alone: its short options and its authentication string.
#pragma once

#include <string>
#include <vector>

#include "config/settings.hpp"

namespace instancer::daemon {

/// What the words after `instancerd relay` mean: the short options of the original, spelled out. All other words stay.
std::vector<std::string> spell_out_relay(const std::vector<std::string>& words);

/// The authentication string, from its file where there is one: all of that but the end of its last line. The error
/// names the file.
Parsed<std::string> load_authentication(const RelaySettings& relay);

/// How much the log shows of the rest at that `-v`.
LogLevel log_level_of(unsigned verbosity);

}  // namespace instancer::daemon
