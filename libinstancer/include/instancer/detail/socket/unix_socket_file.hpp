// SPDX-License-Identifier: MIT
#pragma once

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/detail/config.hpp>
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
    explicit UnixSocketFile(const std::string& path);

    /// Whether nobody listens on the socket any more.
    bool is_abandoned() const;

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
    UnixBind(int socket, const sockaddr_un& address) : socket_(socket), address_(address) {}

    /// Returns 0, or what the system reports.
    static int run(void* self);

private:
    int socket_;
    sockaddr_un address_;
};

/// Binds `socket`; its file gets exactly the permissions `mode`. Returns 0, or what the system reports.
///
/// The file begins with the permissions of the socket, less the umask, which is the whole process's: so a child without
/// one binds it. To set permissions by path afterwards could change another file that somebody has put there.
INSTANCER_DECL int bind_unix(int socket, const sockaddr_un& address, mode_t mode);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/unix_socket_file.hpp>
#endif
