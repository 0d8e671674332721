// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <instancer/acceptor/unix_permissions.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/unix_address.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// The file of a Unix socket, and which one it is whatever its path names later.
///
/// Somebody else may own the directory, and put other files and directories in the place of ours at any time.
class UnixSocketFile {
public:
    explicit UnixSocketFile(const std::string& path);

    /// Whether nobody listens on the socket any more.
    bool is_abandoned() const;

    /// Whether the socket has the owner and the group that were asked for.
    bool belongs_to(const UnixPermissions& permissions) const noexcept
    {
        return is_socket_ && status_.st_uid == permissions.owner.value_or(status_.st_uid) &&
               status_.st_gid == permissions.group.value_or(status_.st_gid);
    }

    /// Removes the socket; another file that has taken its place stays.
    void remove() const;

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
    UnixBind(int socket, const UnixAddress& address, const UnixPermissions& permissions)
        : socket_(socket), address_(address), permissions_(permissions)
    {
    }

    /// Returns 0, or what the system reports.
    static int run(void* self);

private:
    /// Makes new files those of the owner and group, with the rights that this process has.
    int take_owner() const;

    int socket_;
    UnixAddress address_;
    UnixPermissions permissions_;
};

/// Binds `socket`; its file gets exactly these permissions. Returns 0, or what the system reports.
///
/// The file begins with the permissions of the socket, less the umask, and with the user of the thread, which are the
/// whole process's: so a child with others binds it. To set them by path afterwards could change another file that
/// somebody has put there.
INSTANCER_DECL int bind_unix(int socket, const UnixAddress& address, const UnixPermissions& permissions);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/unix_socket_file.hpp>
#endif
