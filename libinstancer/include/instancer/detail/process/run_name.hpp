// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

#include <sys/stat.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/text/split.hpp>

namespace instancer::detail {

inline std::string run_prefix(std::string_view name, std::string_view service)
{
    return "instancer." + std::string(name) + "." + std::string(service) + ".";
}

/// Tells PID namespaces apart: in each of them a process id means another process.
inline std::string pid_namespace()
{
    struct stat status {};
    return std::to_string(::stat("/proc/self/ns/pid", &status) == 0 ? status.st_ino : 0);
}

/// Names what one run of a service makes in places that others use too; `remove_stale_runs` knows by the name whether
/// that run is over.
INSTANCER_DECL std::string run_name(std::string_view name, std::string_view service);

/// Whether `text` names a run with this prefix whose process is gone. Runs in other PID namespaces are not ours to
/// judge.
INSTANCER_DECL bool is_stale_run(std::string_view text, std::string_view prefix);

/// Kills what runs of this name and service left that were killed together with their guard. Returns their directories,
/// which remain to be removed.
INSTANCER_DECL std::vector<std::string> remove_stale_runs(std::string_view name, std::string_view service);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/run_name.hpp>
#endif
