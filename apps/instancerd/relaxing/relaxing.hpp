// SPDX-License-Identifier: MIT
// Weaker walls around containers, for programs that need them.
#pragma once

#include <span>
#include <vector>

#include <instancer/backend/container_privileges.hpp>

#include "config/checker.hpp"
#include "config/settings.hpp"
#include "isolation/isolation.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

std::span<const Option> relaxing_options();

/// What of its settings cannot work.
void check_relaxing(Checker& checker);

/// What each of its settings opens.
std::vector<IsolationRemark> grade_relaxing(const Settings& settings, const ServiceSettings& service);

/// What containers of the service may do. Reads the filter of system calls, and looks the devices up.
Parsed<ContainerPrivileges> container_privileges(const RelaxingSettings& relaxing);

}  // namespace instancer::daemon
