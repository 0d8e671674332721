// SPDX-License-Identifier: MIT
// Proofs of work: their options, what can be wrong with these, and the commands for scripts.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/checker.hpp"
#include "config/command_line.hpp"
#include "config/settings.hpp"
#include "options/commands.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> proof_options();

/// What of its settings cannot work.
void check_proof(Checker& checker);

/// What works, and is perhaps not meant.
std::vector<std::string> warnings_of_proof(const ServiceSettings& service);

/// `pow solve` and `pow check`.
std::vector<CommandEntry> proof_commands();

/// `words` follow `pow`.
Command parse_proof_command(const std::vector<std::string>& words);

}  // namespace instancer::daemon
