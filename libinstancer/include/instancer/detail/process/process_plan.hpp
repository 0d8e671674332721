// SPDX-License-Identifier: MIT
// What is executed for an instance, by its options: pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/instance_setup.hpp>
#include <instancer/detail/process/process_resources.hpp>
#include <instancer/instance.hpp>

namespace instancer::detail {

/// `text` with the placeholders filled in.
INSTANCER_DECL std::string filled_in(std::string text, const InstanceRequest& request,
                                     const ProcessResources& resources);

/// The whole environment of an instance, but for its secret: `mark` comes first unless it is empty, and an option of
/// `env` replaces what we would tell under its name.
INSTANCER_DECL std::vector<std::string> process_environment(const ProcessOptions& options,
                                                            const InstanceRequest& request,
                                                            const ProcessResources& resources, std::string_view mark);

/// The limits of each process, for what `limiter` does not limit for the instance as a whole.
INSTANCER_DECL std::vector<InstanceSetup::Limit> process_limits(const ProcessOptions& options,
                                                                const GroupLimiter& limiter);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/process_plan.hpp>
#endif
