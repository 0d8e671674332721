// SPDX-License-Identifier: MIT
#include "daemon/system.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer::daemon {

namespace {

/// Far more than any list needs: what never ends, as /dev/zero, must not take up the memory.
constexpr std::size_t largest_file = 64 * 1024 * 1024;

/// What pipes and terminals gave. They give it once, and it is needed to check the settings, to start, and on SIGHUP.
class Streams {
public:
    std::optional<std::string> find(const struct stat& status)
    {
        const std::lock_guard lock(mutex_);
        const auto found = all_.find({status.st_dev, status.st_ino});
        return found == all_.end() ? std::nullopt : std::optional(found->second.first);
    }

    void keep(const struct stat& status, const std::string& text, instancer::UniqueFd stream)
    {
        const std::lock_guard lock(mutex_);
        all_.try_emplace({status.st_dev, status.st_ino}, text, std::move(stream));
    }

private:
    std::mutex mutex_;
    /// By number, which no other file gets as long as the stream is open.
    std::map<std::pair<dev_t, ino_t>, std::pair<std::string, instancer::UniqueFd>> all_;
};

Streams& streams()
{
    static Streams all;
    return all;
}

/// Whether something can be read, or the end has come.
bool wait_for_bytes(int fd, std::chrono::steady_clock::time_point deadline)
{
    pollfd waiting{fd, POLLIN, 0};
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        const int ready = ::poll(&waiting, 1, static_cast<int>(std::max(left, left.zero()).count()));
        if (ready >= 0 || errno != EINTR)
            return ready != 0;
    }
}

/// The error says what is wrong with the file.
Parsed<std::string> read_all(int fd, std::chrono::steady_clock::time_point deadline)
{
    std::string text;
    for (std::array<char, 16 * 1024> part;;) {
        if (!wait_for_bytes(fd, deadline))
            return wrong("it is a pipe whose writer does not come to an end");
        const auto count = ::read(fd, part.data(), part.size());
        if (count < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (count < 0)
            return wrong(std::strerror(errno));
        if (count == 0)
            return text;
        text.append(part.data(), static_cast<std::size_t>(count));
        if (text.size() > largest_file)
            return wrong("it is larger than 64 MiB; name another one");
    }
}

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

Parsed<std::string> read_file(const std::string& path, std::chrono::milliseconds patience)
{
    const auto cannot = [&path](const std::string& why) { return wrong("cannot read " + path + ": " + why); };
    // A pipe that nobody has opened to write must not hold us up.
    instancer::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!file)
        return cannot(::stat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode) ? "it is a socket"
                                                                                     : std::strerror(errno));
    if (::fstat(file.get(), &status) != 0)
        return cannot(std::strerror(errno));
    if (S_ISDIR(status.st_mode))
        return cannot("it is a directory");
    if (auto given = streams().find(status))
        return std::move(*given);
    auto text = read_all(file.get(), std::chrono::steady_clock::now() + patience);
    if (!text)
        return cannot(text.error());
    if (const auto zero = text->find('\0'); zero != text->npos)
        return wrong(path + ":" + std::to_string(1 + std::count(text->data(), text->data() + zero, '\n')) +
                     ": holds a zero byte; write it as plain text, in UTF-8");
    if (text->starts_with("\xef\xbb\xbf"))  // the mark that some editors put before UTF-8
        text->erase(0, 3);
    if (!S_ISREG(status.st_mode))
        streams().keep(status, *text, std::move(file));
    return text;
}

bool was_read_once(const std::string& path)
{
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && streams().find(status);
}

bool is_readable_by_all(const std::string& path)
{
    struct stat status {};
    return ::stat(path.c_str(), &status) == 0 && (status.st_mode & S_IROTH);
}

Parsed<uid_t> find_user_id(const std::string& text)
{
    if (const auto id = to_id(text))
        return *id;
    const auto* entry = ::getpwnam(text.c_str());
    if (!entry)
        return wrong("there is no user '" + text + "'; create it (useradd --system " + text + ") or write a number");
    return entry->pw_uid;
}

Parsed<gid_t> find_group(const std::string& text)
{
    if (const auto id = to_id(text))
        return *id;
    const auto* entry = ::getgrnam(text.c_str());
    if (!entry)
        return wrong("there is no group '" + text + "'; create it (groupadd --system " + text + ") or write a number");
    return entry->gr_gid;
}

Parsed<User> find_user(const std::string& text)
{
    const auto colon = text.find(':');
    const auto user_text = text.substr(0, colon);
    User user;
    const auto id = find_user_id(user_text);
    if (!id)
        return wrong(id.error());
    user.uid = *id;
    const passwd* entry = to_id(user_text) ? ::getpwuid(*id) : ::getpwnam(user_text.c_str());
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

    const auto group = find_group(text.substr(colon + 1));
    if (!group)
        return wrong(group.error());
    user.gid = *group;
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

std::string find_init()
{
    std::error_code error;
    const auto self = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
    for (const auto& directory : {self, (self / INSTANCER_INIT_DIRECTORY).lexically_normal()})
        if (const auto path = directory / "instancer-init"; ::access(path.c_str(), X_OK) == 0)
            return path;
    return {};
}

std::string known_user(uid_t first, uid_t last)
{
    std::string found;
    ::setpwent();
    while (const passwd* entry = ::getpwent())
        if (found.empty() && entry->pw_uid >= first && entry->pw_uid <= last)
            found = entry->pw_name;
    ::endpwent();
    return found;
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
