// SPDX-License-Identifier: MIT
#pragma once

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace instancer::detail {

/// Lets the urgent bytes of a TCP connection stay where they are among the others. Otherwise the system drops one when
/// a read begins at it, and also when another one comes while it is the next to be read.
inline void keep_urgent_inline(int fd) noexcept
{
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

/// What a read would begin with.
enum class Ahead { nothing, plain, urgent };

/// Looks at a connection that keeps urgent bytes inline. A read ends before an urgent byte but does not tell when it
/// begins with one; so it must begin with what was seen here, or reported by epoll, and not with what came later.
/// The last one to come counts: any before it are plain by then, as they are for every receiver.
inline Ahead look_ahead(int fd) noexcept
{
    pollfd state{fd, POLLIN | POLLPRI, 0};
    if (::poll(&state, 1, 0) == 0 || state.revents == POLLPRI)
        return Ahead::nothing;
    int at_mark = 0;
    if ((state.revents & POLLPRI) != 0 && ::ioctl(fd, SIOCATMARK, &at_mark) == 0 && at_mark != 0)
        return Ahead::urgent;
    return Ahead::plain;
}

}  // namespace instancer::detail
