// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace instancer::daemon {

/// The kinds of services. `all_modes` lists what each of them is.
enum class Mode { exec, docker, oci, forward, relay, tunnel_server, tunnel_agent };

/// The word for it in the configuration.
std::string_view name_of(Mode mode);

constexpr bool is_tunnel(Mode mode) { return mode == Mode::tunnel_server || mode == Mode::tunnel_agent; }

}  // namespace instancer::daemon
