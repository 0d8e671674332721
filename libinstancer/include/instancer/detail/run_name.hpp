// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/control_group.hpp>
#include <instancer/detail/private_directory.hpp>
#include <instancer/detail/process_marks.hpp>
#include <instancer/detail/process_stat.hpp>

namespace instancer::detail {

inline std::string run_prefix(std::string_view name, std::string_view service)
{
    return "instancer." + std::string(name) + "." + std::string(service) + ".";
}

/// Names what one run of a service makes in places that others use too; `remove_stale_runs` knows by the name whether
/// that run is over.
inline std::string run_name(std::string_view name, std::string_view service)
{
    static std::atomic<unsigned> count{0};
    const auto pid = std::to_string(::getpid());
    return run_prefix(name, service) + pid + "." + process_stat(pid, stat_start_time) + "." + std::to_string(++count);
}

/// Whether `text` names a run with this prefix whose process is gone.
inline bool is_stale_run(std::string_view text, std::string_view prefix)
{
    if (!text.starts_with(prefix))
        return false;
    text.remove_prefix(prefix.size());
    const auto dot = text.find('.');
    const auto second = dot == text.npos ? dot : text.find('.', dot + 1);
    if (second == text.npos)
        return false;
    // Not a run of another service whose name begins like this one's.
    if (text.find_first_not_of("0123456789.") != text.npos || text.find('.', second + 1) != text.npos)
        return false;
    const auto pid = text.substr(0, dot);
    return process_stat(std::string(pid), stat_start_time) != text.substr(dot + 1, second - dot - 1);
}

/// Kills and removes what runs of this name and service left that were killed together with their guard.
inline void remove_stale_runs(std::string_view name, std::string_view service)
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
    kill_processes([&](std::string_view environment) { return is_stale_run(marked_run(environment), prefix); });
    for_each_stale(temporary_root(),
                   [](const std::string& path) { static_cast<void>(PrivateDirectory::remove_tree(path)); });
}

}  // namespace instancer::detail
