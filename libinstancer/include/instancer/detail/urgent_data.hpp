// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <sys/ioctl.h>
#include <sys/socket.h>

namespace instancer::detail {

/// At the mark of urgent data of a TCP connection takes its byte, which a plain read would leave out.
inline std::optional<unsigned char> take_urgent(int fd) noexcept
{
    int at_mark = 0;
    unsigned char byte = 0;
    if (::ioctl(fd, SIOCATMARK, &at_mark) != 0 || !at_mark || ::recv(fd, &byte, 1, MSG_OOB) != 1)
        return std::nullopt;
    return byte;
}

}  // namespace instancer::detail
