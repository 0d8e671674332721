// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/detail/text/split.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Where this process is now; `own_control_group` explains.
inline std::string find_own_control_group(const std::string& controller)
{
    const bool is_v2 = controller.empty();
    const auto has = [&controller](const std::string& list) {
        const auto names = split(list, ',');
        return std::find(names.begin(), names.end(), controller) != names.end();
    };
    std::string mount, root, line;
    for (std::ifstream mounts("/proc/self/mountinfo"); std::getline(mounts, line);) {
        // id parent major:minor root mount-point options ... - type source options
        const auto separator = line.find(" - ");
        if (separator == std::string::npos)
            continue;
        std::string skipped, type, options;
        std::istringstream(line.substr(separator + 3)) >> type >> skipped >> options;
        if (is_v2 ? type != "cgroup2" : type != "cgroup" || !has(options))
            continue;
        std::istringstream(line) >> skipped >> skipped >> skipped >> root >> mount;
        break;
    }
    if (mount.empty())
        return {};
    for (std::ifstream groups("/proc/self/cgroup"); std::getline(groups, line);) {
        // number:controllers:path
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos)
            continue;
        const auto controllers = line.substr(first + 1, second - first - 1);
        if (is_v2 ? !line.starts_with("0::") : !has(controllers))
            continue;
        auto path = line.substr(second + 1);
        if (root != "/" && path.starts_with(root))
            path.erase(0, root.size());
        return path == "/" ? mount : mount + path;
    }
    return mount;
}

/// Where this process was in a hierarchy of control groups when it was asked for the first time: that of version 2,
/// wherever it is mounted (`unified` on hybrid systems), or the one of version 1 that has `controller`. Empty when
/// there is none.
inline std::string own_control_group(const std::string& controller = {})
{
    static std::mutex mutex;
    static std::map<std::string, std::string> known;
    const std::lock_guard lock(mutex);
    const auto [at, is_new] = known.try_emplace(controller);
    if (is_new)
        at->second = find_own_control_group(controller);
    return at->second;
}

/// Kills everything in the group at `path` and below, children that left their session and process group included.
inline bool kill_control_group(const std::string& path)
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
    static Result<InstanceGroup> create(const std::string& path)
    {
        const auto failed = [&path] {
            return fail(std::error_code(errno, std::system_category()), "making the control group " + path);
        };
        if (::mkdir(path.c_str(), 0755) != 0)
            return failed();
        // Without it nobody would know whether anything is left to kill.
        UniqueFd events(::open((path + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
        if (events)
            return InstanceGroup(path, std::move(events));
        const auto failure = failed();
        ::rmdir(path.c_str());
        return failure;
    }

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
    bool wait_until_empty(std::chrono::milliseconds limit) const
    {
        const auto deadline = std::chrono::steady_clock::now() + limit;
        while (is_populated()) {
            const auto left = deadline - std::chrono::steady_clock::now();
            if (left <= left.zero())
                return false;
            // Reading the events has armed this: the kernel reports the next change.
            pollfd change{events_.get(), POLLPRI, 0};
            ::poll(&change, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(left).count()));
        }
        return true;
    }

private:
    InstanceGroup(std::string path, UniqueFd events) : path_(std::move(path)), events_(std::move(events)) {}

    bool has_event(std::string_view event) const noexcept
    {
        char text[128];
        const auto size = ::pread(events_.get(), text, sizeof text, 0);
        return size > 0 && std::string_view(text, static_cast<std::size_t>(size)).find(event) != std::string_view::npos;
    }

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
    static std::unique_ptr<ControlGroup> create(const std::string& name)
    {
        const auto own = own_control_group();
        if (own.empty())
            return nullptr;
        const auto path = own + "/" + name;
        if (::mkdir(path.c_str(), 0755) != 0)
            return nullptr;
        // Below version 5.14 of the kernel a group cannot be killed as a whole.
        if (::access((path + "/cgroup.kill").c_str(), W_OK) != 0) {
            ::rmdir(path.c_str());
            return nullptr;
        }
        return std::unique_ptr<ControlGroup>(new ControlGroup(path));
    }

    const std::string& path() const noexcept { return path_; }

    /// An empty group.
    ///
    /// Errors: what the system reports.
    Result<InstanceGroup> take()
    {
        std::unique_lock lock(mutex_);
        while (!spares_.empty()) {
            auto group = std::move(spares_.back());
            spares_.pop_back();
            if (group.is_fresh())
                return group;
            clear_control_group(group.path());
        }
        const auto path = path_ + "/" + std::to_string(++last_number_);
        lock.unlock();
        return InstanceGroup::create(path);
    }

    /// Takes back a group in which everything was killed.
    ///
    /// Time: blocks until what was killed is gone, for a few seconds at most.
    Result<void> give_back(InstanceGroup group)
    {
        if (group.wait_until_empty(std::chrono::seconds(2)) && group.is_fresh()) {
            const std::lock_guard lock(mutex_);
            if (spares_.size() < most_spares) {
                spares_.push_back(std::move(group));
                return {};
            }
        }
        if (!remove_control_group(group.path()))
            return fail(std::error_code(errno, std::system_category()), "removing the control group " + group.path());
        return {};
    }

    static constexpr std::size_t most_spares = 8;

private:
    explicit ControlGroup(std::string path) : path_(std::move(path)) {}

    const std::string path_;
    std::mutex mutex_;
    std::vector<InstanceGroup> spares_;
    std::uint64_t last_number_ = 0;
};

}  // namespace instancer::detail
