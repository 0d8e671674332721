// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <string_view>
#include <system_error>

namespace instancer {

/// What an operator can do when listening failed with `error`; empty when nothing is known to help. `is_unix` says that
/// it was a Unix socket.
inline std::string_view listen_remedy(const std::error_code& error, bool is_unix = false) noexcept
{
    switch (error.value()) {
    case EADDRINUSE:
        return is_unix ? "somebody listens there already, or the path is another kind of file: stop or remove that, "
                         "or choose another path"
                       : "stop who listens there already (ss -ltnp shows it), or choose another port";
    case EACCES:
        return is_unix ? "choose a directory that you may write to"
                       : "ports below 1024 need root or CAP_NET_BIND_SERVICE, so choose a higher one";
    case EADDRNOTAVAIL: return "this machine has no such address (ip address shows those it has)";
    default: return {};
    }
}

}  // namespace instancer
