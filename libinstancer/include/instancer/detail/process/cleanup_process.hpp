// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/process_marks.hpp>
#include <instancer/detail/process/tree_remover.hpp>
#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/system/make_pipe.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// A small process that outlives us for a moment: when our end of its pipe closes, however we ended, it kills what
/// our instances left running and removes their control group and their directories.
///
/// It is forked from a process with several threads, one of which may hold a lock of the allocator just then: after the
/// fork nothing is allocated or released.
class CleanupProcess {
public:
    /// `control_group` may be empty: then what carries `mark` is killed. Nothing is killed in `further_groups`, which
    /// are only removed. The directories go last, those that are still there. `lock` stays open until then.
    static Result<CleanupProcess> start(const std::string& control_group, const std::string& mark,
                                        const std::vector<std::string>& directories,
                                        const std::vector<std::string>& further_groups = {}, int lock = -1)
    {
        auto pipe = make_pipe();
        if (!pipe)
            return fail(pipe.error().code(), "starting the guard process");
        const auto arguments = own_arguments();
        const pid_t pid = ::fork();
        if (pid < 0)
            return fail(last_error(), "starting the guard process");
        if (pid == 0) {
            rename_process(arguments);
            watch(pipe->reader.get(), control_group, mark, directories, further_groups, lock);
        }
        return CleanupProcess(pid, std::move(pipe->writer));
    }

    CleanupProcess(CleanupProcess&& other) noexcept : pid_(std::exchange(other.pid_, -1)), pipe_(std::move(other.pipe_))
    {
    }

    /// A descriptor that can be read once the guard has ended.
    UniqueFd end() const { return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0))); }

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
                                   const std::vector<std::string>& further_groups, int lock)
    {
        // Neither a terminal's Ctrl-C nor a signal to our process group may end it before us.
        ::setsid();
        sigset_t all;
        ::sigfillset(&all);
        ::sigprocmask(SIG_SETMASK, &all, nullptr);
        const int kept = lock < 0 ? -1 : ::fcntl(lock, F_DUPFD, 2);
        ::dup2(pipe, 0);
        if (kept >= 0)
            ::dup2(kept, 1);
        ::syscall(SYS_close_range, kept >= 0 ? 2u : 1u, ~0u, 0u);
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

    /// Our command line, in memory of this process, at the addresses that its stat file names.
    static std::span<char> own_arguments()
    {
        const auto begin = std::strtoull(process_stat("self", stat_arg_start).c_str(), nullptr, 10);
        const auto end = std::strtoull(process_stat("self", stat_arg_end).c_str(), nullptr, 10);
        if (begin == 0 || end <= begin)
            return {};
        return {reinterpret_cast<char*>(begin), static_cast<std::size_t>(end - begin)};
    }

    /// Whoever kills us by our command line must not hit the guard as well: it shows a name of its own instead.
    static void rename_process(std::span<char> arguments)
    {
        static constexpr char name[] = "instancer-guard";
        ::prctl(PR_SET_NAME, name);
        if (arguments.empty())
            return;
        std::memset(arguments.data(), 0, arguments.size());
        std::memcpy(arguments.data(), name, std::min(arguments.size(), sizeof name) - 1);
    }

    pid_t pid_;
    UniqueFd pipe_;
};

}  // namespace instancer::detail
