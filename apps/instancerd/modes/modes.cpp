// SPDX-License-Identifier: MIT
#include "modes/modes.hpp"

#include <algorithm>

#include "modes/docker/docker.hpp"
#include "modes/exec/exec.hpp"
#include "modes/forward/forward.hpp"
#include "modes/oci/oci.hpp"
#include "modes/relay/relay.hpp"
#include "modes/tunnel/tunnel.hpp"

namespace instancer::daemon {

namespace {

constexpr const ModeEntry* list[] = {
    &exec_mode,           //
    &docker_mode,         //
    &oci_mode,            //
    &forward_mode,        //
    &relay_mode,          //
    &tunnel_server_mode,  //
    &tunnel_agent_mode,   //
};

}  // namespace

std::span<const ModeEntry* const> all_modes() { return list; }

std::string_view name_of(Mode mode) { return entry_of(mode).name; }

const ModeEntry& entry_of(Mode mode)
{
    return **std::find_if(std::begin(list), std::end(list), [&](const auto* entry) { return entry->mode == mode; });
}

}  // namespace instancer::daemon
