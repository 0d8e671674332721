// SPDX-License-Identifier: MIT
// How a program's terminal is set up. Shared with instancer-init, which has no C++ library: system calls alone.
#pragma once

#include <sys/ioctl.h>
#include <termios.h>

#include <instancer/backend/terminal_mode.hpp>

namespace instancer::detail {

/// Sets up the program's side of a new terminal. False: the system reports why.
inline bool set_terminal(int fd, TerminalMode mode) noexcept
{
    termios settings{};
    if (::tcgetattr(fd, &settings) != 0)
        return false;
    // A raw terminal at the other end neither echoes nor returns to the beginning of a line.
    if (mode != TerminalMode::echo) {
        settings.c_lflag &= static_cast<tcflag_t>(~(ECHO | ECHOE | ECHOK | ECHONL));
        settings.c_oflag &= static_cast<tcflag_t>(~ONLCR);
    }
    if (mode == TerminalMode::raw)
        ::cfmakeraw(&settings);
    ::tcsetattr(fd, TCSANOW, &settings);
    const winsize size{24, 80, 0, 0};
    ::ioctl(fd, TIOCSWINSZ, &size);
    return true;
}

}  // namespace instancer::detail
