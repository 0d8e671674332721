// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <string_view>
#include <system_error>

namespace instancer {

/// The kind of address to listen on.
enum class ListenKind {
    tcp,            ///< A port.
    unix_file,      ///< A Unix socket that has a file.
    unix_abstract,  ///< One that has a name alone.
};

/// What an operator can do when listening failed with `error`; empty when nothing is known to help.
inline std::string_view listen_remedy(const std::error_code& error, ListenKind kind = ListenKind::tcp) noexcept
{
    const bool is_file = kind == ListenKind::unix_file;
    switch (error.value()) {
    case EADDRINUSE:
        if (kind == ListenKind::unix_abstract)
            return "somebody listens there already (ss -xlp shows it): stop that, or choose another name";
        return is_file ? "somebody listens there already, or the path is another kind of file: stop or remove that, "
                         "or choose another path"
                       : "stop the program that listens there already (ss -ltnp shows it), or choose another port";
    case EACCES:
        return is_file ? "choose a directory that you may write to"
                       : "ports below 1024 need root or CAP_NET_BIND_SERVICE, so choose a higher one";
    case EADDRNOTAVAIL: return "this machine has no such address (ip address shows those it has)";
    case EPERM:
        return "only root, or a member by its main group, may give a socket to that owner or group, and not in "
               "a directory with the set-group-id bit";
    default: return {};
    }
}

}  // namespace instancer
