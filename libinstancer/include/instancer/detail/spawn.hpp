// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// A process that was started: its id and a descriptor that stands for it whatever becomes of the id.
class SpawnedProcess {
public:
    SpawnedProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid() const noexcept { return pid_; }
    UniqueFd& pidfd() noexcept { return pidfd_; }

private:
    pid_t pid_;
    UniqueFd pidfd_;
};

/// Everything that the child does between its birth and its program, prepared so that it need not allocate.
class SpawnPlan {
public:
    std::string program;  ///< Path; not searched for.
    std::vector<std::string> arguments;
    std::vector<std::string> environment;
    std::string working_directory;   ///< Empty: ours.
    int standard[3] = {-1, -1, -1};  ///< What becomes descriptors 0, 1, 2; none of them below 3.
    bool terminal = false;           ///< Descriptor 0 becomes the controlling terminal.
    int cgroup_procs = -1;           ///< Open `cgroup.procs` of the group to join; -1 for none.
    std::vector<std::pair<int, rlim_t>> limits;
    const ProcessUser* user = nullptr;

    SpawnPlan() = default;
};

/// Runs in the child, which shares our memory: system calls only, nothing that takes a lock or allocates. Some are bare
/// ones: sanitizers keep books about descriptors, handlers and the end of a process, in memory that is ours as well.
class SpawnChild {
public:
    SpawnChild(const SpawnPlan& plan, std::vector<char*>& argv, std::vector<char*>& envp, pid_t parent)
        : plan_(plan), argv_(argv), envp_(envp), parent_(parent)
    {
    }

    /// After the parent runs again: what failed, or null.
    const char* failed_step() const noexcept { return step_; }
    int failed_errno() const noexcept { return error_; }

    static int run(void* self)
    {
        static_cast<SpawnChild*>(self)->exec();
        ::syscall(SYS_exit_group, 127);
        return 127;
    }

private:
    bool check(bool ok, const char* step) noexcept
    {
        if (!ok) {
            error_ = errno;
            step_ = step;
        }
        return ok;
    }

    void exec() noexcept
    {
        // A group that is being removed must not keep an instance from starting outside of it unnoticed.
        if (plan_.cgroup_procs >= 0 &&
            !check(::syscall(SYS_write, plan_.cgroup_procs, "0", 1) == 1, "joining its control group"))
            return;
        static constexpr std::uint64_t default_action[8] = {};  // SIG_DFL, as the kernel reads it.
        for (int number = 1; number < NSIG; ++number)
            ::syscall(SYS_rt_sigaction, number, default_action, nullptr, sizeof(std::uint64_t));
        ::setsid();
        for (int i = 0; i < 3; ++i)
            if (!check(::syscall(SYS_dup3, plan_.standard[i], i, 0) == i, "setting up standard input and output"))
                return;
        if (plan_.terminal && !check(::syscall(SYS_ioctl, 0, TIOCSCTTY, 0) == 0, "setting up its terminal"))
            return;
        if (!become_user())
            return;
        if (!plan_.working_directory.empty() &&
            !check(::chdir(plan_.working_directory.c_str()) == 0, "changing to its working directory"))
            return;
        // After the change of user, which would clear it; and our end may have come before it was set.
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != parent_)
            return;
        for (const auto& [resource, value] : plan_.limits) {
            const rlimit limit{value, value};
            if (!check(::setrlimit(static_cast<__rlimit_resource_t>(resource), &limit) == 0, "setting a limit"))
                return;
        }
        if (::syscall(SYS_close_range, 3u, ~0u, 0u) != 0)
            ::syscall(SYS_close_range, 3u, ~0u, static_cast<unsigned>(CLOSE_RANGE_CLOEXEC));
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::execve(plan_.program.c_str(), argv_.data(), envp_.data());
        check(false, "starting the program");
    }

    /// The bare system calls: the library's functions would change the ids of all threads of ours.
    bool become_user() noexcept
    {
        if (plan_.user == nullptr)
            return true;
        const auto& groups = plan_.user->groups();
        const auto uid = plan_.user->uid();
        const auto gid = plan_.user->gid();
        return check(::syscall(SYS_setgroups, groups.size(), groups.data()) == 0, "setting its groups") &&
               check(::syscall(SYS_setresgid, gid, gid, gid) == 0, "changing its group") &&
               check(::syscall(SYS_setresuid, uid, uid, uid) == 0, "changing its user");
    }

    const SpawnPlan& plan_;
    std::vector<char*>& argv_;
    std::vector<char*>& envp_;
    pid_t parent_;
    const char* step_ = nullptr;
    int error_ = 0;
};

// ThreadSanitizer's clone() would take the memory that the child borrows for a copy of the child's own: the same
// function has another name, which is left alone.
#if defined(__SANITIZE_THREAD__)
extern "C" int __clone(int (*run)(void*), void* stack, int flags, void* argument, ...);
inline constexpr auto& clone_process = __clone;
#else
inline constexpr auto& clone_process = ::clone;
#endif

/// Waits for the end of a child of ours, so that it does not stay as a zombie.
inline void reap(pid_t pid) noexcept
{
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED) != 0 && errno == EINTR) {}
}

/// Starts a process without copying our memory: the child borrows it, and this thread, until it runs its program.
///
/// Time: blocks for some 0.1 to 0.4 ms: call it on a helper thread. The process dies when that thread ends.
/// Errors: what the system reports, with the step that failed.
inline Result<SpawnedProcess> spawn(const SpawnPlan& plan)
{
    const auto pointers = [](const std::vector<std::string>& texts) {
        std::vector<char*> result;
        result.reserve(texts.size() + 1);
        for (const auto& text : texts)
            result.push_back(const_cast<char*>(text.c_str()));
        result.push_back(nullptr);
        return result;
    };
    auto argv = pointers(plan.arguments);
    auto envp = pointers(plan.environment);
    SpawnChild child(plan, argv, envp, ::getpid());

    // No handler of ours may run in the child, on our memory.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    static constexpr std::size_t stack_size = 64 * 1024;
    const auto stack = std::make_unique_for_overwrite<char[]>(stack_size);
    int pidfd = -1;
    const int pid = clone_process(&SpawnChild::run, stack.get() + stack_size,
                                  CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, &pidfd);
    const int clone_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return fail(std::error_code(clone_errno, std::system_category()), "starting a process");
    UniqueFd descriptor(pidfd);
    if (child.failed_step() != nullptr) {
        reap(pid);
        return fail(std::error_code(child.failed_errno(), std::system_category()),
                    plan.program + ": " + child.failed_step());
    }
    return SpawnedProcess(pid, std::move(descriptor));
}

}  // namespace instancer::detail
