// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <csignal>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/unique_fd.hpp>

namespace instancer::detail {

/// Where this process is in the cgroup v2 hierarchy, wherever that is mounted (`unified` on hybrid systems); empty
/// when there is none.
inline std::string own_control_group()
{
    std::string mount, root, line;
    for (std::ifstream mounts("/proc/self/mountinfo"); std::getline(mounts, line);) {
        // id parent major:minor root mount-point options ... - type source options
        const auto separator = line.find(" - ");
        if (separator == std::string::npos || line.compare(separator + 3, 8, "cgroup2 ") != 0)
            continue;
        std::istringstream fields(line);
        std::string skipped;
        fields >> skipped >> skipped >> skipped >> root >> mount;
        break;
    }
    if (mount.empty())
        return {};
    for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);)
        if (line.starts_with("0::")) {
            std::string path = line.substr(3);
            if (root != "/" && path.starts_with(root))
                path.erase(0, root.size());
            return path == "/" ? mount : mount + path;
        }
    return mount;
}

/// Kills everything in the group at `path` and below, children that left their session and process group included.
inline bool kill_control_group(const std::string& path) noexcept
{
    const UniqueFd file(::open((path + "/cgroup.kill").c_str(), O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), "1", 1) == 1;
}

/// Removes the group at `path` and those below it, once what was killed in them is gone.
///
/// Time: blocks, for a few seconds at most.
inline bool remove_control_group(const std::string& path)
{
    for (int attempt = 0; attempt < 2000; ++attempt) {
        if (::rmdir(path.c_str()) == 0 || errno == ENOENT)
            return true;
        if (errno != EBUSY)
            return false;
        if (DIR* directory = attempt == 0 ? ::opendir(path.c_str()) : nullptr) {
            while (const dirent* entry = ::readdir(directory))
                if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
                    remove_control_group(path + "/" + entry->d_name);
            ::closedir(directory);
        } else {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }
    return false;
}

/// Whether anything runs in the group at `path` or below.
inline bool is_populated(const std::string& path)
{
    std::ifstream events(path + "/cgroup.events");
    for (std::string key, value; events >> key >> value;)
        if (key == "populated")
            return value == "1";
    return false;
}

/// Sends `signal` to every process in the group at `path`.
inline void signal_control_group(const std::string& path, int signal)
{
    std::ifstream members(path + "/cgroup.procs");
    for (pid_t pid; members >> pid;)
        ::kill(pid, signal);
}

/// Kills and removes the group at `path` and those below it.
inline void clear_control_group(const std::string& path)
{
    kill_control_group(path);
    remove_control_group(path);
}

/// A cgroup v2 directory of our own with one group per instance below it.
class ControlGroup {
public:
    /// Empty when the system or our privileges do not allow it.
    static std::optional<ControlGroup> create(const std::string& name)
    {
        const auto own = own_control_group();
        if (own.empty())
            return std::nullopt;
        const auto path = own + "/" + name;
        if (::mkdir(path.c_str(), 0755) != 0)
            return std::nullopt;
        // Below version 5.14 of the kernel a group cannot be killed as a whole.
        if (::access((path + "/cgroup.kill").c_str(), W_OK) != 0) {
            ::rmdir(path.c_str());
            return std::nullopt;
        }
        return ControlGroup(path);
    }

    const std::string& path() const noexcept { return path_; }

    std::string path_of(const std::string& child) const { return path_ + "/" + child; }

    /// Makes a group for one instance and opens its `cgroup.procs`.
    UniqueFd add(const std::string& child) const
    {
        if (::mkdir(path_of(child).c_str(), 0755) != 0)
            return {};
        return UniqueFd(::open((path_of(child) + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
    }

private:
    explicit ControlGroup(std::string path) : path_(std::move(path)) {}

    std::string path_;
};

}  // namespace instancer::detail
