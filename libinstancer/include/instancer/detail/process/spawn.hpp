// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/process/instance_setup.hpp>
#include <instancer/detail/process/spawn_watchdog.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Takes away a child of ours that has ended, so that it does not stay as a zombie. False: it cannot be had, since
/// another process traces it, or has not ended yet.
INSTANCER_DECL bool reap(pid_t pid) noexcept;

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
    /// What becomes the descriptors that follow; none of them below 3 and their number.
    std::vector<int> further;

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

    void exec() noexcept;

    bool move_report(unsigned to) const noexcept;

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
INSTANCER_DECL std::vector<std::string> init_arguments(const SpawnPlan& plan, pid_t parent);

/// What the child does by itself where there is no instancer-init. It refers to `plan`.
INSTANCER_DECL InstanceSetup instance_setup(const SpawnPlan& plan, pid_t parent);

/// Why `program` did not start: the step that failed, and the system's number for it.
INSTANCER_DECL Error start_error(int number, const std::string& program, std::string_view step);

/// Starts a process without copying our memory: the child borrows it, and this thread, until it executes a program.
///
/// Time: blocks for some 0.1 to 0.4 ms, and until `watchdog` kills the child at the latest: call it on a helper thread.
/// The process dies when that thread ends.
/// Errors: what the system reports, with the step that failed; with `plan.init` what goes wrong later is reported
/// there.
INSTANCER_DECL Result<SpawnedProcess> spawn(const SpawnPlan& plan, SpawnWatchdog& watchdog);

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/spawn.hpp>
#endif
