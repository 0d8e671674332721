// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstdlib>
#include <string>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/unique_fd.hpp>

namespace instancer::detail {

/// Kills every process whose environment, as it was at its start, begins with `mark`. For systems without a control
/// group of our own: it finds children that left their process group, though not those that hide on purpose.
///
/// Time: reads all of /proc, again until nothing more is found.
inline void kill_marked(const std::string& mark)
{
    std::string begin(mark.size(), '\0');
    for (int round = 0; round < 16; ++round) {
        bool found = false;
        DIR* directory = ::opendir("/proc");
        if (directory == nullptr)
            return;
        while (const dirent* entry = ::readdir(directory)) {
            const int pid = std::atoi(entry->d_name);
            if (pid <= 0 || pid == ::getpid())
                continue;
            const UniqueFd environment(::open((std::string("/proc/") + entry->d_name + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
            const auto size = environment ? ::read(environment.get(), begin.data(), begin.size()) : -1;
            if (size == static_cast<ssize_t>(mark.size()) && begin == mark)
                found = ::kill(pid, SIGKILL) == 0 || found;
        }
        ::closedir(directory);
        if (!found)
            return;
    }
}

}  // namespace instancer::detail
