// SPDX-License-Identifier: MIT
// Services that pass connections on to servers.
#pragma once

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry forward_mode;

std::span<const Option> forward_options();
void check_forward(Checker& checker);

}  // namespace instancer::daemon
