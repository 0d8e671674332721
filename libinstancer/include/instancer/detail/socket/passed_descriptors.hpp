// SPDX-License-Identifier: MIT
#pragma once

#include <sys/socket.h>

namespace instancer::detail {

/// SO_PASSRIGHTS of Linux 6.16, which the headers of older systems lack.
inline constexpr int pass_rights = 83;

/// Whether the peer of a Unix socket may pass descriptors to its owner. They would be closed unread, and a close can
/// wait as long as whoever made the descriptor likes (SO_LINGER). Sockets that a listener accepts inherit it. Older
/// systems refuse nothing.
inline void take_descriptors(int fd, bool on) noexcept
{
    const int value = on ? 1 : 0;
    ::setsockopt(fd, SOL_SOCKET, pass_rights, &value, sizeof value);
}

}  // namespace instancer::detail
