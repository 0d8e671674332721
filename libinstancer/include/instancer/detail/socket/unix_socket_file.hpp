// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// `path` fits.
inline sockaddr_un unix_address(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    return address;
}

/// The file of a Unix socket, and which one it is whatever its path names later.
///
/// Somebody else may own the directory, and put other files and directories in the place of ours at any time.
class UnixSocketFile {
public:
    explicit UnixSocketFile(const std::string& path)
        : name_(std::filesystem::path(path).filename()),
          directory_(::open(parent_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
          file_(::openat(directory_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC))
    {
        is_socket_ = ::fstat(file_.get(), &status_) == 0 && S_ISSOCK(status_.st_mode);
    }

    /// Whether nobody listens on the socket any more.
    bool is_abandoned() const
    {
        if (!is_socket_)
            return false;
        const auto address = unix_address("/proc/self/fd/" + std::to_string(file_.get()));
        const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        return ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
               errno == ECONNREFUSED;
    }

    /// Removes the socket; another file that has taken its place stays.
    void remove() const
    {
        struct stat now {};
        if (is_socket_ && ::fstatat(directory_.get(), name_.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
            now.st_dev == status_.st_dev && now.st_ino == status_.st_ino)
            ::unlinkat(directory_.get(), name_.c_str(), 0);
    }

private:
    static std::filesystem::path parent_of(const std::filesystem::path& path)
    {
        return path.has_parent_path() ? path.parent_path() : ".";
    }

    const std::string name_;
    const UniqueFd directory_;
    const UniqueFd file_;  ///< As long as it is open, no other file gets its number.
    struct stat status_ {};
    bool is_socket_ = false;
};

/// Runs in a child with memory of its own.
class UnixBind {
public:
    UnixBind(int socket, const sockaddr_un& address) : socket_(socket), address_(address) {}

    /// Returns 0, or what the system reports.
    static int run(void* self)
    {
        const auto& bind = *static_cast<const UnixBind*>(self);
        ::umask(0);
        return ::syscall(SYS_bind, bind.socket_, &bind.address_, sizeof bind.address_) == 0 ? 0 : errno;
    }

private:
    int socket_;
    sockaddr_un address_;
};

/// Binds `socket`; its file gets exactly the permissions `mode`. Returns 0, or what the system reports.
///
/// The file begins with the permissions of the socket, less the umask, which is the whole process's: so a child without
/// one binds it. To set permissions by path afterwards could change another file that somebody has put there.
inline int bind_unix(int socket, const sockaddr_un& address, mode_t mode)
{
    if (::fchmod(socket, mode) != 0)
        return errno;
    UnixBind bind(socket, address);
    static constexpr std::size_t stack_size = 64 * 1024;
    const auto stack = std::make_unique_for_overwrite<char[]>(stack_size);
    // A handler of ours that runs in the child would tell us of a signal twice.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const pid_t child = ::clone(&UnixBind::run, stack.get() + stack_size, 0, &bind);
    const int error = child < 0 ? errno : 0;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0)
        return error;
    int status = 0;
    while (::waitpid(child, &status, __WCLONE) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

}  // namespace instancer::detail
