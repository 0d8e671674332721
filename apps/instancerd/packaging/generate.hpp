// SPDX-License-Identifier: MIT
// What is made from the daemon's tables of commands and options. Everything goes to standard output.
#pragma once

#include "config/text.hpp"
#include "options/commands.hpp"
#include "options/options.hpp"

namespace generate {

using instancer::daemon::CommandEntry;
using instancer::daemon::commands;
using instancer::daemon::first_words;
using instancer::daemon::joined;
using instancer::daemon::Option;
using instancer::daemon::options;
using instancer::daemon::Shape;
using instancer::daemon::split;

void write_manual();
void write_config_manual();
void write_bash();
void write_zsh();
void write_fish();

}  // namespace generate
