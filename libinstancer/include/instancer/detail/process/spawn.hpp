// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/find_program.hpp>
#include <instancer/detail/process/instance_setup.hpp>
#include <instancer/detail/process/spawn_watchdog.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Takes away a child of ours that has ended, so that it does not stay as a zombie. False: it cannot be had, since
/// another process traces it, or has not ended yet.
inline bool reap(pid_t pid) noexcept
{
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0)
        if (errno != EINTR)
            return true;
    return info.si_pid != 0;
}

/// What is said of a child that was stopped, or was kept in another way from executing anything.
inline constexpr std::string_view not_executed = "has not executed its program in time; a process of the same user may "
                                                 "have stopped it: give each instance a user of "
                                                 "its own";

/// A process that was started: its id and a descriptor that stands for it whatever becomes of the id.
class SpawnedProcess {
public:
    SpawnedProcess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

    pid_t pid() const noexcept { return pid_; }
    UniqueFd& pidfd() noexcept { return pidfd_; }

    /// Takes away a child that has ended, or was killed, before it executed anything.
    ///
    /// Time: blocks, for a second at most.
    void wait_dead() const noexcept
    {
        pollfd end{pidfd_.get(), POLLIN, 0};
        ::poll(&end, 1, 1000);
        reap(pid_);
    }

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
    std::vector<int> cgroup_procs;   ///< Open `cgroup.procs` of the groups to join.
    std::vector<InstanceSetup::Limit> limits;
    const ProcessUser* user = nullptr;
    std::string init;  ///< Path of instancer-init, which becomes the user; empty: the child does it by itself.
    int report = -1;   ///< With `init`: where that reports a failure.

    SpawnPlan() = default;
};

/// Runs in the child, which shares our memory: system calls only, nothing that takes a lock or allocates. Some are bare
/// ones: sanitizers keep books about descriptors, handlers and the end of a process, in memory that is ours as well.
class SpawnChild {
public:
    /// Executes `path`, after `setup` unless that is null.
    SpawnChild(const SpawnPlan& plan, const char* path, std::vector<char*>& argv, std::vector<char*>& envp,
               const InstanceSetup* setup)
        : plan_(plan), path_(path), argv_(argv), envp_(envp), setup_(setup)
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
        for (const int procs : plan_.cgroup_procs)
            if (!check(::syscall(SYS_write, procs, "0", 1) == 1, "joining its control group"))
                return;
        static constexpr std::uint64_t default_action[8] = {};  // SIG_DFL, as the kernel reads it.
        for (int number = 1; number < NSIG; ++number)
            ::syscall(SYS_rt_sigaction, number, default_action, nullptr, sizeof(std::uint64_t));
        ::setsid();
        unsigned next = 0;
        for (const int descriptor : plan_.standard)
            if (!check(::syscall(SYS_dup3, descriptor, next++, 0) >= 0, "setting up standard input and output"))
                return;
        if (plan_.report >= 0 && !check(move_report(next++), "setting up the report of its start"))
            return;
        if (setup_ != nullptr)
            if (const auto* failed = setup_->apply(); !check(failed == nullptr, failed))
                return;
        if (::syscall(SYS_close_range, next, ~0u, 0u) != 0)
            ::syscall(SYS_close_range, next, ~0u, static_cast<unsigned>(CLOSE_RANGE_CLOEXEC));
        sigset_t none;
        ::sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        ::execve(path_, argv_.data(), envp_.data());
        check(false, "starting the program");
    }

    bool move_report(unsigned to) const noexcept
    {
        if (static_cast<unsigned>(plan_.report) == to)
            return ::syscall(SYS_fcntl, to, F_SETFD, 0) == 0;
        return ::syscall(SYS_dup3, plan_.report, to, 0) >= 0;
    }

    const SpawnPlan& plan_;
    const char* path_;
    std::vector<char*>& argv_;
    std::vector<char*>& envp_;
    const InstanceSetup* setup_;
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

/// What instancer-init is told; `init/main.cpp` says what it means.
inline std::vector<std::string> init_arguments(const SpawnPlan& plan, pid_t parent)
{
    std::vector<std::string> all{"instancer-init", "exec", "report=3", "parent=" + std::to_string(parent)};
    if (plan.terminal)
        all.emplace_back("terminal=");
    if (const auto* user = plan.user) {
        all.push_back("user=" + std::to_string(user->uid()));
        all.push_back("group=" + std::to_string(user->gid()));
        std::string groups = "groups=";
        for (const auto group : user->groups())
            groups += std::to_string(group) + ",";
        all.push_back(groups);
    }
    if (!plan.working_directory.empty())
        all.push_back("directory=" + plan.working_directory);
    for (const auto& limit : plan.limits)
        all.push_back("limit=" + std::to_string(limit.resource) + ":" + std::to_string(limit.value));
    all.emplace_back("--");
    all.push_back(plan.program);
    all.insert(all.end(), plan.arguments.begin(), plan.arguments.end());
    return all;
}

/// What the child does by itself where there is no instancer-init. It refers to `plan`.
inline InstanceSetup instance_setup(const SpawnPlan& plan, pid_t parent)
{
    InstanceSetup setup;
    setup.parent = parent;
    setup.terminal = plan.terminal;
    if (const auto* user = plan.user) {
        setup.changes_user = true;
        setup.user = user->uid();
        setup.group = user->gid();
        setup.groups = user->groups().data();
        setup.group_count = user->groups().size();
    }
    if (!plan.working_directory.empty())
        setup.directory = plan.working_directory.c_str();
    setup.limits = plan.limits.data();
    setup.limit_count = plan.limits.size();
    return setup;
}

/// Why `program` did not start: the step that failed, and the system's number for it.
inline Error start_error(int number, const std::string& program, std::string_view step)
{
    const std::error_code code(number, std::system_category());
    // Before the start it was not certain: the system may have been told how to run anything.
    if (number == ENOEXEC)
        return Error(code, program + " " + std::string(no_program));
    return Error(code, program + ": " + std::string(step));
}

/// Starts a process without copying our memory: the child borrows it, and this thread, until it executes a program.
///
/// Time: blocks for some 0.1 to 0.4 ms, and until `watchdog` kills the child at the latest: call it on a helper thread.
/// The process dies when that thread ends.
/// Errors: what the system reports, with the step that failed; with `plan.init` what goes wrong later is reported
/// there.
inline Result<SpawnedProcess> spawn(const SpawnPlan& plan, SpawnWatchdog& watchdog)
{
    const auto pointers = [](const std::vector<std::string>& texts) {
        std::vector<char*> result;
        result.reserve(texts.size() + 1);
        for (const auto& text : texts)
            result.push_back(const_cast<char*>(text.c_str()));
        result.push_back(nullptr);
        return result;
    };
    const bool by_init = !plan.init.empty();
    const auto arguments = by_init ? init_arguments(plan, ::getpid()) : plan.arguments;
    const auto setup = instance_setup(plan, ::getpid());
    const auto& path = by_init ? plan.init : plan.program;
    auto argv = pointers(arguments);
    auto envp = pointers(plan.environment);
    SpawnChild child(plan, path.c_str(), argv, envp, by_init ? nullptr : &setup);

    // No handler of ours may run in the child, on our memory.
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    static constexpr std::size_t stack_size = 64 * 1024;
    const auto stack = std::make_unique_for_overwrite<char[]>(stack_size);
    SpawnWatchdog::Watch watch(watchdog);
    const int pid = clone_process(&SpawnChild::run, stack.get() + stack_size,
                                  CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, &child, watch.pidfd());
    const int clone_errno = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (pid < 0)
        return fail(std::error_code(clone_errno, std::system_category()), "starting a process");
    const bool killed = watch.end();
    SpawnedProcess process(pid, UniqueFd(*watch.pidfd()));
    if (!killed && child.failed_step() == nullptr)
        return process;
    process.wait_dead();
    if (killed)
        return fail(Errc::start_timeout, path + ": " + std::string(not_executed));
    return fail(start_error(child.failed_errno(), path, child.failed_step()));
}

}  // namespace instancer::detail
