// SPDX-License-Identifier: MIT
#pragma once

#include <csignal>
#include <cstddef>
#include <cstdint>

#include <fcntl.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail {

INSTANCER_DECL bool reap(pid_t pid) noexcept
{
    siginfo_t info{};
    while (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0)
        if (errno != EINTR)
            return true;
    return info.si_pid != 0;
}

INSTANCER_DECL void SpawnChild::exec() noexcept
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
    for (const int descriptor : plan_.further)
        if (!check(::syscall(SYS_dup3, descriptor, next++, 0) >= 0, "passing a descriptor on"))
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

INSTANCER_DECL bool SpawnChild::move_report(unsigned to) const noexcept
{
    if (static_cast<unsigned>(plan_.report) == to)
        return ::syscall(SYS_fcntl, to, F_SETFD, 0) == 0;
    return ::syscall(SYS_dup3, plan_.report, to, 0) >= 0;
}

INSTANCER_DECL std::vector<std::string> init_arguments(const SpawnPlan& plan, pid_t parent)
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

INSTANCER_DECL InstanceSetup instance_setup(const SpawnPlan& plan, pid_t parent)
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

INSTANCER_DECL Error start_error(int number, const std::string& program, std::string_view step)
{
    const auto code = system_error(number);
    // Before the start it was not certain: the system may have been told how to run anything.
    if (number == ENOEXEC)
        return Error(code, program + " " + std::string(no_program));
    return Error(code, program + ": " + std::string(step));
}

INSTANCER_DECL Result<SpawnedProcess> spawn(const SpawnPlan& plan, SpawnWatchdog& watchdog)
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
        return fail(system_error(clone_errno), "starting a process");
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
