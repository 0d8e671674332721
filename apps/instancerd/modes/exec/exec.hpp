// SPDX-License-Identifier: MIT
// Services whose instances are processes.
#pragma once

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry exec_mode;

std::span<const Option> exec_options();
void check_exec(Checker& checker);

/// Whether each instance can have a user of a range.
void check_users(Checker& checker);

}  // namespace instancer::daemon
