// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/process_stat.hpp>
#include <instancer/result.hpp>
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

inline bool wants(const ProcessOptions& options, GroupLimit limit)
{
    switch (limit) {
    case GroupLimit::memory: return options.limit_memory != 0;
    case GroupLimit::pids: return options.limit_pids != 0;
    case GroupLimit::cpu: break;
    }
    return options.limit_cpus > 0;
}

inline bool write_file(const std::string& path, const std::string& text)
{
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

/// Sets a limit of the group at `path`, of version 2 or 1. Swap counts as memory, where the kernel counts it at all.
inline bool set_group_limit(const std::string& path, bool is_v2, GroupLimit limit, const ProcessOptions& options)
{
    const auto memory = std::to_string(options.limit_memory);
    const auto quota = std::to_string(static_cast<std::uint64_t>(options.limit_cpus * 100'000));
    const auto set = [&path](const char* file, const std::string& text) { return write_file(path + file, text); };
    switch (limit) {
    case GroupLimit::memory:
        if (!set(is_v2 ? "/memory.max" : "/memory.limit_in_bytes", memory))
            return false;
        static_cast<void>(is_v2 ? set("/memory.swap.max", "0") : set("/memory.memsw.limit_in_bytes", memory));
        return true;
    case GroupLimit::pids: return set("/pids.max", std::to_string(options.limit_pids));
    case GroupLimit::cpu: break;
    }
    return is_v2 ? set("/cpu.max", quota + " 100000")
                 : set("/cpu.cfs_period_us", "100000") && set("/cpu.cfs_quota_us", quota);
}

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
inline bool make_room_for_controllers(const std::string& path)
{
    std::vector<std::string> members;
    std::ifstream procs(path + "/cgroup.procs");
    for (std::string pid; procs >> pid;) {
        if (std::atoi(pid.c_str()) != ::getpid() && process_stat(pid, stat_parent) != std::to_string(::getpid()))
            return false;
        members.push_back(pid);
    }
    const auto leaf = path + "/instancer.daemon";
    if (::mkdir(leaf.c_str(), 0755) != 0 && errno != EEXIST)
        return false;
    for (const auto& pid : members)
        if (!write_file(leaf + "/cgroup.procs", pid))
            return false;
    return true;
}

/// Lets groups below `path`, of version 2, have that controller.
inline bool enable_controller(const std::string& path, const std::string& controller)
{
    if (has_controller(path, "/cgroup.subtree_control", controller))
        return true;
    if (!has_controller(path, "/cgroup.controllers", controller))
        return false;
    const auto enable = [&] { return write_file(path + "/cgroup.subtree_control", "+" + controller); };
    return enable() || (errno == EBUSY && make_room_for_controllers(path) && enable());
}

/// Whether that limit can probably be set here, without trying to.
inline bool can_limit_groups(GroupLimit limit)
{
    const auto controller = controller_of(limit);
    if (const auto own = own_control_group(controller); !own.empty())
        return ::access(own.c_str(), W_OK) == 0;
    const auto own = own_control_group();
    return !own.empty() && has_controller(own, "/cgroup.controllers", controller) &&
           ::access((own + "/cgroup.subtree_control").c_str(), W_OK) == 0;
}

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
    Result<std::vector<std::string>> apply(const std::string& number, const InstanceGroup* group) const
    {
        std::vector<std::string> groups;
        for (const auto& home : homes_) {
            const auto path = home.is_v2 ? group->path() : home.path + "/" + number;
            const bool there = home.is_v2 || ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
            if (there && !home.is_v2)
                groups.push_back(path);
            if (there && set_group_limit(path, home.is_v2, home.limit, options_))
                continue;
            const std::error_code error(errno, std::system_category());
            remove(groups);
            return fail(error, "setting limits of the control group " + path);
        }
        return groups;
    }

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

    void find_home(GroupLimit limit, const std::string& run_name, const ControlGroup* unified)
    {
        const auto controller = controller_of(limit);
        if (const auto own = own_control_group(controller); !own.empty()) {
            const auto path = own + "/" + run_name;
            if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST)
                homes_.emplace_back(limit, path, false);
        } else if (unified && enable_controller(own_control_group(), controller) &&
                   enable_controller(unified->path(), controller)) {
            homes_.emplace_back(limit, std::string(), true);
        }
    }

    const ProcessOptions& options_;
    std::vector<Home> homes_;
};

}  // namespace instancer::detail
