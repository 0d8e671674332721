// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdlib>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL bool wants(const ProcessOptions& options, GroupLimit limit)
{
    switch (limit) {
    case GroupLimit::memory: return options.limit_memory != 0;
    case GroupLimit::pids: return options.limit_pids != 0;
    case GroupLimit::cpu: break;
    }
    return options.limit_cpus > 0;
}

INSTANCER_DECL bool write_file(const std::string& path, const std::string& text)
{
    const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

INSTANCER_DECL bool set_group_limit(const std::string& path, bool is_v2, GroupLimit limit,
                                    const ProcessOptions& options)
{
    const auto memory = std::to_string(options.limit_memory);
    const auto quota = std::to_string(static_cast<std::uint64_t>(options.limit_cpus * 100'000));
    const auto set = [&path](const char* file, const std::string& text) { return write_file(path + file, text); };
    switch (limit) {
    case GroupLimit::memory:
        if (!set(is_v2 ? "/memory.max" : "/memory.limit_in_bytes", memory))
            return false;
        static_cast<void>(is_v2 ? set("/memory.swap.max", "0") : set("/memory.memsw.limit_in_bytes", memory));
        // The second version counts these buffers as memory.
        if (!is_v2)
            static_cast<void>(set("/memory.kmem.tcp.limit_in_bytes", memory));
        return true;
    case GroupLimit::pids: return set("/pids.max", std::to_string(options.limit_pids));
    case GroupLimit::cpu: break;
    }
    return is_v2 ? set("/cpu.max", quota + " 100000")
                 : set("/cpu.cfs_period_us", "100000") && set("/cpu.cfs_quota_us", quota);
}

INSTANCER_DECL std::uint64_t count_oom_kills(const std::vector<std::string>& groups)
{
    std::uint64_t kills = 0;
    for (const auto& group : groups)
        for (const auto* file : {"/memory.events", "/memory.oom_control"}) {
            std::ifstream events(group + file);
            std::uint64_t count = 0;
            for (std::string event; events >> event >> count;)
                if (event == "oom_kill")
                    kills += count;
        }
    return kills;
}

INSTANCER_DECL bool make_room_for_controllers(const std::string& path)
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

INSTANCER_DECL bool enable_controller(const std::string& path, const std::string& controller)
{
    if (has_controller(path, "/cgroup.subtree_control", controller))
        return true;
    if (!has_controller(path, "/cgroup.controllers", controller))
        return false;
    const auto enable = [&] { return write_file(path + "/cgroup.subtree_control", "+" + controller); };
    return enable() || (errno == EBUSY && make_room_for_controllers(path) && enable());
}

INSTANCER_DECL Result<std::vector<std::string>> GroupLimiter::apply(const std::string& number,
                                                                    const InstanceGroup* group) const
{
    std::vector<std::string> groups;
    for (const auto& home : homes_) {
        const auto path = home.is_v2 ? group->path() : home.path + "/" + number;
        const bool there = home.is_v2 || ::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST;
        if (there && !home.is_v2)
            groups.push_back(path);
        if (there && set_group_limit(path, home.is_v2, home.limit, options_))
            continue;
        const auto error = last_error();
        remove(groups);
        return fail(error, "setting limits of the control group " + path);
    }
    return groups;
}

INSTANCER_DECL void GroupLimiter::find_home(GroupLimit limit, const std::string& run_name, const ControlGroup* unified)
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

}  // namespace instancer::detail
