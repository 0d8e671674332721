// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/backend/container_options.hpp>

#include "config/settings.hpp"

namespace instancer::daemon {

/// What one container may use.
inline ContainerLimits container_limits(const Limits& limits)
{
    ContainerLimits out;
    out.memory = limits.memory;
    out.cpus = limits.cpus;
    out.pids = limits.pids;
    out.nofile = limits.nofile;
    out.core = limits.core;
    out.tmp = limits.tmp;
    return out;
}

}  // namespace instancer::daemon
