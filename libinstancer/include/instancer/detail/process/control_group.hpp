// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/text/split.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Where this process is now; `own_control_group` explains.
INSTANCER_DECL std::string find_own_control_group(const std::string& controller);

/// Where this process was in a hierarchy of control groups when it was asked for the first time: that of version 2,
/// wherever it is mounted (`unified` on hybrid systems), or the one of version 1 that has `controller`. Empty when
/// there is none.
INSTANCER_DECL std::string own_control_group(const std::string& controller = {});

// The cleanup process ends groups in memory that it was forked from: nothing down to clear_control_group allocates.

/// Kills everything in the group at `path` and below, children that left their session and process group included.
inline bool kill_control_group(const std::string& path)
{
    const UniqueFd group(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const UniqueFd file(::openat(group.get(), "cgroup.kill", O_WRONLY | O_CLOEXEC));
    return file && ::write(file.get(), "1", 1) == 1;
}

/// Removes the group at `path`, which may be relative to the directory `at`, and those below it, once what was killed
/// in them is gone.
///
/// Time: blocks, for a few seconds at most.
INSTANCER_DECL bool remove_control_group(int at, const char* path);

/// The same with a path from the root.
inline bool remove_control_group(const std::string& path) { return remove_control_group(AT_FDCWD, path.c_str()); }

/// Kills and removes the group at `path` and those below it.
inline void clear_control_group(const std::string& path)
{
    kill_control_group(path);
    remove_control_group(path);
}

/// Whoever writes "0" to this descriptor joins the group at `path`. Invalid when it cannot be had, with `errno`.
inline UniqueFd open_procs(const std::string& path)
{
    return UniqueFd(::open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
}

/// A cgroup v2 group for the processes of one instance, empty before and after.
///
/// Threads: any, one at a time.
class InstanceGroup {
public:
    /// Makes the group at `path`.
    ///
    /// Errors: what the system reports; nothing is left behind then.
    static Result<InstanceGroup> create(const std::string& path);

    const std::string& path() const noexcept { return path_; }

    /// Whether anything runs in the group or below.
    bool is_populated() const noexcept { return has_event("populated 1"); }

    /// Whether an instance can start in it as in a new one: nothing runs in it, it is not frozen, nothing is below it.
    bool is_fresh() const noexcept
    {
        struct stat status {};
        return has_event("populated 0") && !has_event("frozen 1") && ::stat(path_.c_str(), &status) == 0 &&
               status.st_nlink == 2;
    }

    /// Sends the signal to every process in the group that is not in the process group `except`.
    void signal(int number, pid_t except) const
    {
        std::ifstream members(path_ + "/cgroup.procs");
        for (pid_t pid; members >> pid;)
            if (::getpgid(pid) != except)
                ::kill(pid, number);
    }

    /// Kills everything in the group and below, children that left their session and process group included.
    void kill() const
    {
        if (is_populated())
            kill_control_group(path_);
    }

    /// Time: blocks, for `limit` at most.
    bool wait_until_empty(std::chrono::milliseconds limit) const;

private:
    InstanceGroup(std::string path, UniqueFd events) : path_(std::move(path)), events_(std::move(events)) {}

    bool has_event(std::string_view event) const noexcept;

    std::string path_;
    UniqueFd events_;
};

/// A cgroup v2 directory of our own with one group per instance below it. A few empty ones are kept for the next
/// instances: making and removing one costs more than all else that there is to a short instance.
///
/// Threads: any.
class ControlGroup {
public:
    /// Null when the system or our privileges do not allow it.
    static std::unique_ptr<ControlGroup> create(const std::string& name);

    const std::string& path() const noexcept { return path_; }

    /// An empty group.
    ///
    /// Errors: what the system reports.
    Result<InstanceGroup> take();

    /// Takes back a group in which everything was killed.
    ///
    /// Time: blocks until what was killed is gone, for a few seconds at most.
    Result<void> give_back(InstanceGroup group);

    /// A guess: twice as many as threads that start and end processes.
    static constexpr std::size_t most_spares = 8;

private:
    explicit ControlGroup(std::string path) : path_(std::move(path)) {}

    const std::string path_;
    std::mutex mutex_;
    std::vector<InstanceGroup> spares_;
    std::uint64_t last_number_ = 0;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/control_group.hpp>
#endif
