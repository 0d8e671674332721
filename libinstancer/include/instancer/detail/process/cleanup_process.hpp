// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// A small process that outlives us for a moment: when our end of its pipe closes, however we ended, it kills what
/// our instances left running and removes their control group and their directories.
class CleanupProcess {
public:
    /// `control_group` may be empty: then what carries `mark` is killed. Nothing is killed in `further_groups`, which
    /// are only removed. The directories go last, those that are still there.
    static Result<CleanupProcess> start(const std::string& control_group, const std::string& mark,
                                        const std::vector<std::string>& directories,
                                        const std::vector<std::string>& further_groups = {})
    {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0)
            return fail(last_error(), "starting the guard process");
        UniqueFd reading(ends[0]), writing(ends[1]);
        const pid_t pid = ::fork();
        if (pid < 0)
            return fail(last_error(), "starting the guard process");
        if (pid == 0)
            watch(reading.get(), control_group, mark, directories, further_groups);
        return CleanupProcess(pid, std::move(writing));
    }

    CleanupProcess(CleanupProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pipe_(std::move(other.pipe_))
    {
    }

    /// Lets the guard do its work, and waits for it, for 10 s at most: the guard goes on when we are gone.
    ~CleanupProcess()
    {
        if (pid_ < 0)
            return;
        pipe_.reset();
        for (int waited = 0; waited < 10'000 && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++waited) {
            // An instance of the same user may have stopped it.
            ::kill(pid_, SIGCONT);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }

private:
    CleanupProcess(pid_t pid, UniqueFd pipe) : pid_(pid), pipe_(std::move(pipe)) {}

    [[noreturn]] static void watch(int pipe, const std::string& control_group, const std::string& mark,
                                   const std::vector<std::string>& directories,
                                   const std::vector<std::string>& further_groups)
    {
        // Neither a terminal's Ctrl-C nor a signal to our process group may end it before us.
        ::setsid();
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        rename_process();
        ::dup2(pipe, 0);
        ::syscall(SYS_close_range, 1u, ~0u, 0u);
        static_cast<void>(::chdir("/"));
        char byte;
        while (::read(0, &byte, 1) < 0 && errno == EINTR) {}
        if (control_group.empty())
            kill_marked(mark);
        else
            clear_control_group(control_group);
        for (const auto& group : further_groups)
            remove_control_group(group);
        for (const auto& directory : directories)
            TreeRemover(directory, {}).remove_all();
        ::_exit(0);
    }

    /// Whoever kills us by our command line must not hit the guard as well: it shows a name of its own instead. The
    /// arguments are memory of this process, at the addresses that its stat file names.
    static void rename_process()
    {
        static constexpr char name[] = "instancer-guard";
        ::prctl(PR_SET_NAME, name);
        const auto begin = std::strtoull(process_stat("self", stat_arg_start).c_str(), nullptr, 10);
        const auto end = std::strtoull(process_stat("self", stat_arg_end).c_str(), nullptr, 10);
        if (begin == 0 || end <= begin)
            return;
        auto* arguments = reinterpret_cast<char*>(begin);
        std::memset(arguments, 0, end - begin);
        std::memcpy(arguments, name, std::min<std::size_t>(end - begin, sizeof name) - 1);
    }

    pid_t pid_;
    UniqueFd pipe_;
};

}  // namespace instancer::detail
