// SPDX-License-Identifier: MIT
#include "control/control_terminal.hpp"

#include <csignal>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/terminal_stream.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::daemon {

Stream open_terminal(const asio::any_io_executor& executor)
{
    if (::isatty(STDIN_FILENO) != 1 || ::tcgetpgrp(STDIN_FILENO) != ::getpgrp())
        return {};
    // A description of our own, because that of standard input is the shell's as well and must go on to block.
    instancer::UniqueFd own(::open("/proc/self/fd/0", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!own)
        return {};
    // In the background reading and writing are to fail rather than to stop us.
    std::signal(SIGTTIN, SIG_IGN);
    std::signal(SIGTTOU, SIG_IGN);
    return make_terminal_stream(executor, std::move(own));
}

}  // namespace instancer::daemon
