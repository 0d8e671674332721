// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <csignal>
#include <cstddef>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/fsuid.h>
#include <sys/wait.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/unix_socket_file.hpp>

namespace instancer::detail {

INSTANCER_DECL UnixSocketFile::UnixSocketFile(const std::string& path)
    : name_(std::filesystem::path(path).filename()),
      directory_(::open(parent_of(path).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)),
      file_(::openat(directory_.get(), name_.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC))
{
    is_socket_ = ::fstat(file_.get(), &status_) == 0 && S_ISSOCK(status_.st_mode);
}

INSTANCER_DECL bool UnixSocketFile::is_abandoned() const
{
    if (!is_socket_)
        return false;
    const UnixAddress address("/proc/self/fd/" + std::to_string(file_.get()));
    const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return ::connect(probe.get(), address.data(), address.size()) != 0 && errno == ECONNREFUSED;
}

INSTANCER_DECL void UnixSocketFile::remove() const
{
    struct stat now {};
    if (is_socket_ && ::fstatat(directory_.get(), name_.c_str(), &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        now.st_dev == status_.st_dev && now.st_ino == status_.st_ino)
        ::unlinkat(directory_.get(), name_.c_str(), 0);
}

INSTANCER_DECL int UnixBind::run(void* self)
{
    const auto& bind = *static_cast<const UnixBind*>(self);
    ::umask(0);
    if (const int error = bind.take_owner(); error != 0)
        return error;
    return ::syscall(SYS_bind, bind.socket_, bind.address_.data(), bind.address_.size()) == 0 ? 0 : errno;
}

INSTANCER_DECL int UnixBind::take_owner() const
{
    if (!permissions_.owner && !permissions_.group)
        return 0;
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
    if (::syscall(SYS_capget, &header, capabilities) != 0)
        return errno;
    constexpr auto unchanged = static_cast<uid_t>(-1);
    // They report no errors, but what was set before.
    const auto set = [](const auto& id, auto* set_id) {
        if (id)
            set_id(*id);
        return !id || static_cast<uid_t>(set_id(unchanged)) == *id;
    };
    if (!set(permissions_.group, &::setfsgid) || !set(permissions_.owner, &::setfsuid))
        return EPERM;
    // Another user than root loses the right to write into any directory.
    return ::syscall(SYS_capset, &header, capabilities) == 0 ? 0 : errno;
}

INSTANCER_DECL int bind_unix(int socket, const UnixAddress& address, const UnixPermissions& permissions)
{
    if (::fchmod(socket, permissions.mode) != 0)
        return errno;
    UnixBind bind(socket, address, permissions);
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
