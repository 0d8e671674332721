// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/stat.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/result.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// A limit that a controller of control groups can set for all processes of an instance together.
enum class GroupLimit { memory, pids, cpu };

inline constexpr std::array group_limits = {GroupLimit::memory, GroupLimit::pids, GroupLimit::cpu};

inline std::string controller_of(GroupLimit limit)
{
    switch (limit) {
    case GroupLimit::memory: return "memory";
    case GroupLimit::pids: return "pids";
    case GroupLimit::cpu: break;
    }
    return "cpu";
}

INSTANCER_DECL bool wants(const ProcessOptions& options, GroupLimit limit);

INSTANCER_DECL bool write_file(const std::string& path, const std::string& text);

/// Sets a limit of the group at `path`, of version 2 or 1. Swap counts as memory, where the kernel counts it at all.
INSTANCER_DECL bool set_group_limit(const std::string& path, bool is_v2, GroupLimit limit,
                                    const ProcessOptions& options);

/// Whether the groups below `path`, of version 2, have that controller.
inline bool has_controller(const std::string& path, const char* list, const std::string& controller)
{
    std::ifstream names(path + list);
    for (std::string name; names >> name;)
        if (name == controller)
            return true;
    return false;
}

/// Moves all processes of the group at `path` into one below it, because only a group without any gives its controllers
/// on. Not where there are others than ourselves and our children.
INSTANCER_DECL bool make_room_for_controllers(const std::string& path);

/// Lets groups below `path`, of version 2, have that controller.
INSTANCER_DECL bool enable_controller(const std::string& path, const std::string& controller);

/// Whether that limit can probably be set here, without trying to.
INSTANCER_DECL bool can_limit_groups(GroupLimit limit);

/// What to tell the operator of limits that control groups do not set here, as `binds` says.
template <class Binds>
std::vector<std::string> unbound_limits(const ProcessOptions& options, const Binds& binds)
{
    std::vector<std::string> texts;
    const auto add = [&](GroupLimit limit, const std::string& name, const std::string& instead) {
        if (wants(options, limit) && !binds(limit))
            texts.push_back("there is no control group with the controller " + controller_of(limit) +
                            " for its instances (as root, or with Delegate=yes in a unit): " + name + " " + instead);
    };
    add(GroupLimit::memory, "limit-memory", "is the address space of each process instead");
    add(GroupLimit::pids, "limit-pids",
        options.users ? "is enforced by the user of each instance instead"
                      : "counts all processes of the user instead, those of other instances as well");
    add(GroupLimit::cpu, "limit-cpus", "does not bind");
    return texts;
}

/// Sets limits for each instance as a whole, in its control group, and where the controllers are of version 1 in groups
/// of their hierarchies.
///
/// Threads: any, once it is made.
class GroupLimiter {
public:
    /// `unified` is where the instances' groups of version 2 are, or null. What cannot be set does not bind.
    GroupLimiter(const std::string& run_name, const ControlGroup* unified, const ProcessOptions& options)
        : options_(options)
    {
        for (const auto limit : group_limits)
            if (wants(options, limit))
                find_home(limit, run_name, unified);
    }

    /// Whether that limit holds for an instance as a whole.
    bool binds(GroupLimit limit) const noexcept
    {
        for (const auto& home : homes_)
            if (home.limit == limit)
                return true;
        return false;
    }

    /// The groups of version 1 below which those of the instances are.
    std::vector<std::string> roots() const
    {
        std::vector<std::string> paths;
        for (const auto& home : homes_)
            if (!home.is_v2)
                paths.push_back(home.path);
        return paths;
    }

    /// Sets the limits of one instance. Returns the groups of version 1 that it has to join as well.
    ///
    /// Errors: what the system reports; nothing is left behind then.
    Result<std::vector<std::string>> apply(const std::string& number, const InstanceGroup* group) const;

    /// Removes groups that nothing runs in any more.
    static void remove(const std::vector<std::string>& groups)
    {
        for (const auto& group : groups)
            remove_control_group(group);
    }

private:
    class Home {
    public:
        Home(GroupLimit of, std::string where, bool unified) : limit(of), path(std::move(where)), is_v2(unified) {}

        GroupLimit limit;
        std::string path;
        bool is_v2;
    };

    void find_home(GroupLimit limit, const std::string& run_name, const ControlGroup* unified);

    const ProcessOptions& options_;
    std::vector<Home> homes_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/group_limits.hpp>
#endif
