// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <optional>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/detail/socket/listeners.hpp>

namespace instancer::detail {

INSTANCER_DECL bool ProcessResources::ran_out_of_memory() const { return count_oom_kills(groups()) > oom_kills; }

INSTANCER_DECL bool ProcessResources::owns_port() const
{
    const auto sockets = group ? sockets_of_group(group->path()) : std::nullopt;
    const auto listeners = loopback_listeners(port);
    return std::all_of(listeners.begin(), listeners.end(), [&](const auto& listener) {
        return (!user || listener.uid == user->uid()) && (!sockets || sockets->contains(listener.number));
    });
}

}  // namespace instancer::detail
