// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <instancer/backend/group_limit.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

/// Whether a ProcessBackend of this process can probably set that limit, without trying to.
INSTANCER_DECL bool can_limit_groups(GroupLimit limit);

/// What to tell the operator of the limits in `options` that a ProcessBackend of this process probably cannot set for
/// an instance as a whole: a line for each of them.
INSTANCER_DECL std::vector<std::string> unbound_limits(const ProcessOptions& options);

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/unbound_limits.hpp>
#endif
