// SPDX-License-Identifier: MIT
#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

namespace instancer::detail {

/// Has the system ask the peer of a TCP connection whether it is still there: after so many seconds of silence, in such
/// an interval, and so many times before it gives the connection up.
inline void set_keepalive(int fd, int idle_seconds, int interval_seconds, int probes) noexcept
{
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/// For a peer that has ended its sending. One that only half-closed answers, and may be out of reach for two minutes.
/// One that closed for good looks the same until its system has forgotten the connection, after a minute on Linux; then
/// it answers with a reset.
inline void probe_peer(int fd) noexcept { set_keepalive(fd, 15, 15, 8); }

}  // namespace instancer::detail
