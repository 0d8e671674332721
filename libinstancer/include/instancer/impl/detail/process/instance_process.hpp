// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>

#include <poll.h>
#include <sys/wait.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/instance_process.hpp>

namespace instancer::detail {

INSTANCER_DECL asio::awaitable<void> InstanceProcess::watch_exit(std::shared_ptr<InstanceProcess> process)
{
    // It stays a zombie until it is stopped, so that its process group keeps its number. A wait may end early; one
    // that fails found that it was stopped and is no longer there.
    siginfo_t info{};
    for (bool ended = false; !ended;) {
        const auto [closed] = co_await process->pidfd.async_wait(asio::posix::stream_descriptor::wait_read, as_result);
        const int pidfd = process->pidfd.native_handle();
        pollfd end{pidfd, POLLIN, 0};
        ended = ::poll(&end, 1, 0) == 1;
        // Of a process that another one traces only that one is told more.
        if (closed ||
            ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd), &info, WEXITED | WNOWAIT | WNOHANG) != 0)
            break;
    }
    if (info.si_pid != 0)
        process->exit_text = (info.si_code == CLD_EXITED ? "exit code " : "signal ") + std::to_string(info.si_status);
    // A shell ends with 137 when the system has killed its program.
    const bool was_killed = (info.si_code == CLD_KILLED && info.si_status == SIGKILL) ||
                            (info.si_code == CLD_EXITED && info.si_status == 128 + SIGKILL);
    if (was_killed &&
        (process->was_out_of_memory ? *process->was_out_of_memory : process->resources.ran_out_of_memory()))
        process->exit_text += " (oom: out of memory, see limit-memory)";
    process->exited.set();
}

}  // namespace instancer::detail
