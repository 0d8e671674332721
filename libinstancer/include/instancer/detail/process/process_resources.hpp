// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/control_group.hpp>

namespace instancer::detail {

/// What one instance has for itself beside its process; ResourceAllocator hands it out.
class ProcessResources {
public:
    std::string number;                     ///< Names its directory and its mark.
    std::uint16_t port = 0;                 ///< 0 when it has none.
    std::string directory;                  ///< Empty when it has none.
    std::optional<ProcessUser> user;        ///< Of its own, to be given back.
    std::optional<InstanceGroup> group;     ///< Of version 2.
    std::vector<std::string> limit_groups;  ///< Of version 1, which only limit it.
    std::uint64_t oom_kills = 0;            ///< What its groups had seen before it.

    ProcessResources() = default;

    /// The paths of its control groups.
    std::vector<std::string> groups() const
    {
        auto all = limit_groups;
        if (group)
            all.push_back(group->path());
        return all;
    }

    /// Whether the system has killed one of its processes for want of memory.
    bool ran_out_of_memory() const;

    /// Whether no other process listens on its port.
    ///
    /// Time: blocks for a moment.
    bool owns_port() const;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/process_resources.hpp>
#endif
