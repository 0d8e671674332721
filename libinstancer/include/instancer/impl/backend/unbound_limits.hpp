// SPDX-License-Identifier: MIT
#pragma once

#include <unistd.h>

#include <instancer/backend/unbound_limits.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>

namespace instancer {

INSTANCER_DECL bool can_limit_groups(GroupLimit limit)
{
    const auto controller = detail::controller_of(limit);
    if (const auto own = detail::own_control_group(controller); !own.empty())
        return ::access(own.c_str(), W_OK) == 0;
    const auto own = detail::own_control_group();
    return !own.empty() && detail::has_controller(own, "/cgroup.controllers", controller) &&
           ::access((own + "/cgroup.subtree_control").c_str(), W_OK) == 0;
}

INSTANCER_DECL std::vector<std::string> unbound_limits(const ProcessOptions& options)
{
    return detail::unbound_limits(options, can_limit_groups);
}

}  // namespace instancer
