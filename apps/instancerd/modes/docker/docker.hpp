// SPDX-License-Identifier: MIT
// Services whose instances are containers.
#pragma once

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry docker_mode;

std::span<const Option> docker_options();
void check_docker(Checker& checker);

}  // namespace instancer::daemon
