// SPDX-License-Identifier: MIT
// Services whose instances are processes.
#pragma once

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry exec_mode;

std::span<const Option> exec_options();
void check_exec(Checker& checker);

}  // namespace instancer::daemon
