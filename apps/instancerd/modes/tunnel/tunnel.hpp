// SPDX-License-Identifier: MIT
// Services that are one end of a reverse tunnel.
#pragma once

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry tunnel_server_mode, tunnel_agent_mode;

/// Those of either end.
std::span<const Option> tunnel_options();

void check_tunnel_server(Checker& checker);
void check_tunnel_agent(Checker& checker);

}  // namespace instancer::daemon
