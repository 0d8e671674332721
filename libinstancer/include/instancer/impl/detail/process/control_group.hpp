// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <map>
#include <sstream>
#include <thread>

#include <poll.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/directory_entries.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/text/split.hpp>

namespace instancer::detail {

INSTANCER_DECL std::string find_own_control_group(const std::string& controller)
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

INSTANCER_DECL std::string own_control_group(const std::string& controller)
{
    static std::mutex mutex;
    static std::map<std::string, std::string> known;
    const std::lock_guard lock(mutex);
    const auto [at, is_new] = known.try_emplace(controller);
    if (is_new)
        at->second = find_own_control_group(controller);
    return at->second;
}

INSTANCER_DECL bool remove_control_group(int at, const char* path)
{
    for (int attempt = 0; attempt < 2000; ++attempt) {
        if (::unlinkat(at, path, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return true;
        if (errno != EBUSY)
            return false;
        const UniqueFd group(attempt == 0 ? ::openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1);
        if (!group) {
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
            continue;
        }
        DirectoryEntries<1024> entries(group.get());
        while (const auto* entry = entries.next())
            if (entry->d_type == DT_DIR)
                remove_control_group(group.get(), entry->d_name);
    }
    return false;
}

INSTANCER_DECL Result<InstanceGroup> InstanceGroup::create(const std::string& path)
{
    const auto failed = [&path] { return fail(last_error(), "making the control group " + path); };
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

INSTANCER_DECL bool InstanceGroup::wait_until_empty(std::chrono::milliseconds limit) const
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

INSTANCER_DECL bool InstanceGroup::has_event(std::string_view event) const noexcept
{
    char text[128];
    const auto size = ::pread(events_.get(), text, sizeof text, 0);
    return size > 0 && std::string_view(text, static_cast<std::size_t>(size)).find(event) != std::string_view::npos;
}

INSTANCER_DECL std::unique_ptr<ControlGroup> ControlGroup::create(const std::string& name)
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

INSTANCER_DECL Result<InstanceGroup> ControlGroup::take()
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

INSTANCER_DECL Result<void> ControlGroup::give_back(InstanceGroup group)
{
    if (group.wait_until_empty(std::chrono::seconds(2)) && group.is_fresh()) {
        const std::lock_guard lock(mutex_);
        if (spares_.size() < most_spares) {
            spares_.push_back(std::move(group));
            return {};
        }
    }
    if (!remove_control_group(group.path()))
        return fail(last_error(), "removing the control group " + group.path());
    return {};
}

}  // namespace instancer::detail
