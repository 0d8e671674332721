// SPDX-License-Identifier: MIT
#include "system.hpp"

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <optional>

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer::daemon {

namespace {

/// Far more than any list needs: what never ends, as /dev/zero, must not take up the memory.
constexpr std::size_t largest_file = 256 * 1024 * 1024;

std::optional<unsigned> to_id(const std::string& text)
{
    // The highest value means "none" to the system.
    const auto id = parse_count(text, 0, 0xfffffffe);
    return id ? std::optional(static_cast<unsigned>(*id)) : std::nullopt;
}

/// Whether this process sees a system that was made for it: with marks of container engines, or process ids of its own.
bool is_container()
{
    constexpr ino_t first_pid_namespace = 0xeffffffc;  // PROC_PID_INIT_INO in the kernel's sources.
    struct stat pids {};
    return ::access("/.dockerenv", F_OK) == 0 || ::access("/run/.containerenv", F_OK) == 0 ||
           (::stat("/proc/self/ns/pid", &pids) == 0 && pids.st_ino != first_pid_namespace);
}

}  // namespace

Parsed<std::string> read_file(const std::string& path)
{
    const auto cannot = [&path](const std::string& why) { return wrong("cannot read " + path + ": " + why); };
    if (is_directory(path))
        return cannot("it is a directory");
    const instancer::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return cannot(std::strerror(errno));
    std::string text;
    for (std::array<char, 16 * 1024> part;;) {
        const auto count = ::read(file.get(), part.data(), part.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return cannot(std::strerror(errno));
        if (count == 0)
            return text;
        text.append(part.data(), static_cast<std::size_t>(count));
        if (text.size() > largest_file)
            return cannot("it is larger than 256 MiB; name another one");
    }
}

Parsed<User> find_user(const std::string& text)
{
    const auto colon = text.find(':');
    const auto user_text = text.substr(0, colon);
    User user;
    const auto id = to_id(user_text);
    const passwd* entry = id ? ::getpwuid(*id) : ::getpwnam(user_text.c_str());
    if (!entry && !id)
        return wrong("there is no user '" + user_text + "'; create it (useradd --system " + user_text +
                     ") or write a number");
    user.uid = id ? *id : entry->pw_uid;
    if (!entry && colon == text.npos)
        return wrong("user " + user_text + " has no entry in the user database, so its group is unknown; write " +
                     user_text + ":GROUP");

    if (colon == text.npos) {
        user.gid = entry->pw_gid;
        int count = 64;
        user.groups.resize(static_cast<std::size_t>(count));
        if (::getgrouplist(entry->pw_name, entry->pw_gid, user.groups.data(), &count) < 0) {
            user.groups.resize(static_cast<std::size_t>(count));
            ::getgrouplist(entry->pw_name, entry->pw_gid, user.groups.data(), &count);
        }
        user.groups.resize(static_cast<std::size_t>(count));
        return user;
    }

    const auto group_text = text.substr(colon + 1);
    if (const auto group_id = to_id(group_text)) {
        user.gid = *group_id;
    } else {
        const auto* group = ::getgrnam(group_text.c_str());
        if (!group)
            return wrong("there is no group '" + group_text + "'; create it (groupadd --system " + group_text +
                         ") or write a number");
        user.gid = group->gr_gid;
    }
    user.groups = {user.gid};
    return user;
}

std::string machine_identity()
{
    std::string id;
    // Containers that are made from one image may have one id.
    if (!is_container())
        std::getline(std::ifstream("/etc/machine-id"), id);
    if (!id.empty())
        return id;
    utsname system{};
    ::uname(&system);
    return system.nodename;
}

bool is_directory(const std::string& path)
{
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}

Parsed<void> check_writable_directory(const std::string& path)
{
    if (!is_directory(path))
        return wrong("there is no directory " + path + "; create it or correct the path");
    if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
        return wrong("no file can be made in " + path + ": " + std::strerror(errno) + "; choose another directory");
    return {};
}

}  // namespace instancer::daemon
