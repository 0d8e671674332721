// SPDX-License-Identifier: MIT
#pragma once

#include "config/checker.hpp"

namespace instancer::daemon {

/// What of its mounts and directories in memory cannot work in any container.
void check_container_mounts(Checker& checker);

}  // namespace instancer::daemon
