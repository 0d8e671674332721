// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Kills a process, if that is possible; false when it was killed before.
inline bool kill_once(int pid, std::set<std::pair<int, std::string>>& killed)
{
    return ::kill(pid, SIGKILL) == 0 && killed.emplace(pid, process_stat(std::to_string(pid), stat_start_time)).second;
}

/// Kills every process for whose environment, as it was at its start, `is_ours` holds. For systems without a control
/// group of our own: it finds children that left their process group, though not those that hide on purpose.
///
/// Time: reads all of /proc, and again while that finds processes that it did not find before. Those that take their
/// time to die are not waited for.
template <class IsOurs>
void kill_processes(const IsOurs& is_ours)
{
    char begin[4096];
    std::set<std::pair<int, std::string>> killed;  // A number alone may have been given to another process since.
    for (int round = 0; round < 16; ++round) {
        bool found = false;
        DIR* directory = ::opendir("/proc");
        if (directory == nullptr)
            return;
        while (const dirent* entry = ::readdir(directory)) {
            const int pid = std::atoi(entry->d_name);
            if (pid <= 0 || pid == ::getpid())
                continue;
            const auto path = std::string("/proc/") + entry->d_name + "/environ";
            const UniqueFd environment(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
            const auto size = environment ? ::read(environment.get(), begin, sizeof begin) : -1;
            if (size > 0 && is_ours(std::string_view(begin, static_cast<std::size_t>(size))))
                found = kill_once(pid, killed) || found;
        }
        ::closedir(directory);
        if (!found)
            return;
    }
}

/// Begins the environment of an instance: the name of the run follows, then the instance's number, each with a dot.
inline constexpr std::string_view mark_key = "INSTANCER_RUN=";

/// The run that a process belongs to; empty when its environment does not say.
inline std::string_view marked_run(std::string_view environment)
{
    auto mark = environment.substr(0, environment.find('\0'));
    if (!mark.starts_with(mark_key))
        return {};
    mark.remove_prefix(mark_key.size());
    for (int part = 0; part < 2; ++part)
        mark = mark.substr(0, mark.rfind('.'));
    return mark;
}

/// Kills every process whose environment begins with `mark`.
inline void kill_marked(std::string_view mark)
{
    kill_processes([mark](std::string_view environment) { return environment.starts_with(mark); });
}

}  // namespace instancer::detail
