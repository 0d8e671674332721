// SPDX-License-Identifier: MIT
// What is the relay's alone: its options, their short forms, and its authentication string.
#pragma once

#include <string>
#include <vector>

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry relay_mode;

std::span<const Option> relay_options();
void check_relay(Checker& checker);

/// What the words after `instancerd relay` mean: the short options of the original, spelled out. All other words stay.
std::vector<std::string> spell_out_relay(const std::vector<std::string>& words);

/// The authentication string, from its file where there is one: all of that but the end of its last line. The error
/// names the file.
Parsed<std::string> load_authentication(const RelaySettings& relay);

/// How much the log shows of the rest at that `-v`.
LogLevel log_level_of(unsigned verbosity);

}  // namespace instancer::daemon
