// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include <unistd.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/run_name.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/text/split.hpp>

namespace instancer::detail {

INSTANCER_DECL std::string run_name(std::string_view name, std::string_view service)
{
    static std::atomic<unsigned> count{0};
    const auto pid = std::to_string(::getpid());
    return run_prefix(name, service) + pid_namespace() + "." + pid + "." + process_stat(pid, stat_start_time) + "." +
           std::to_string(++count);
}

INSTANCER_DECL bool is_stale_run(std::string_view text, std::string_view prefix)
{
    if (!text.starts_with(prefix))
        return false;
    text.remove_prefix(prefix.size());
    const auto parts = split(text, '.');
    const auto is_number = [](const std::string& part) {
        return !part.empty() && part.find_first_not_of("0123456789") == part.npos;
    };
    // Not a run of another service whose name begins like this one's.
    if (parts.size() != 4 || !std::all_of(parts.begin(), parts.end(), is_number))
        return false;
    return parts[0] == pid_namespace() && process_stat(parts[1], stat_start_time) != parts[2];
}

INSTANCER_DECL std::vector<std::string> remove_stale_runs(std::string_view name, std::string_view service)
{
    namespace fs = std::filesystem;
    const auto prefix = run_prefix(name, service);
    const auto for_each_stale = [&](const fs::path& where, const auto& remove) {
        std::error_code error;
        for (fs::directory_iterator at(where, error), end; !error && at != end; at.increment(error)) {
            struct stat status {};
            if (is_stale_run(at->path().filename().string(), prefix) && ::lstat(at->path().c_str(), &status) == 0 &&
                S_ISDIR(status.st_mode) && status.st_uid == ::geteuid())
                remove(at->path().string());
        }
    };
    if (const auto group = own_control_group(); !group.empty())
        for_each_stale(group, [](const std::string& path) { clear_control_group(path); });
    kill_by_environment([&](std::string_view environment) { return is_stale_run(marked_run(environment), prefix); });
    for (const auto limit : group_limits)
        if (const auto group = own_control_group(controller_of(limit)); !group.empty())
            for_each_stale(group, [](const std::string& path) { remove_control_group(path); });
    std::vector<std::string> directories;
    for_each_stale(temporary_root(), [&](const std::string& path) {
        // One that cannot be opened is reported by its removal.
        if (lock_directory(path) || errno != EWOULDBLOCK)
            directories.push_back(path);
    });
    return directories;
}

}  // namespace instancer::detail
