// SPDX-License-Identifier: MIT
// What is made from the daemon's tables of commands and options. Everything goes to standard output.
#pragma once

#include <string>
#include <vector>

#include "options/commands.hpp"
#include "options/options.hpp"

namespace generate {

void write_manual();
void write_config_manual();
void write_bash();
void write_zsh();
void write_fish();

}  // namespace generate
