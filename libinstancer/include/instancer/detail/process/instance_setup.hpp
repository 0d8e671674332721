// SPDX-License-Identifier: MIT
// What a process does to itself before it executes an instance's program. Shared with instancer-init, which has no C++
// library: plain data and system calls alone.
#pragma once

#include <csignal>
#include <cstddef>

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace instancer::detail {

/// Runs where nothing may be allocated and no lock be taken. The calls are bare ones: the library's functions would
/// change the ids of all threads of a process, and sanitizers keep books about some of them.
class InstanceSetup {
public:
    struct Limit {
        int resource = 0;
        rlim_t value = 0;
    };

    pid_t parent = 0;       ///< Without it there is nobody to work for.
    bool terminal = false;  ///< Descriptor 0 becomes the controlling terminal.
    bool changes_user = false;
    uid_t user = 0;
    gid_t group = 0;
    const gid_t* groups = nullptr;
    std::size_t group_count = 0;
    const char* directory = nullptr;  ///< Null: stay where we are.
    const Limit* limits = nullptr;
    std::size_t limit_count = 0;

    /// Null when all is done; else what failed, with `errno`. Without `parent` the process ends.
    const char* apply() const noexcept
    {
        if (terminal && ::syscall(SYS_ioctl, 0, TIOCSCTTY, 0) != 0)
            return "setting up its terminal";
        if (changes_user)
            if (const auto* failed = become_user())
                return failed;
        if (directory != nullptr && ::syscall(SYS_chdir, directory) != 0)
            return "changing to its working directory";
        // After the change of user, which would clear it; and our end may have come before it was set.
        ::syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (::syscall(SYS_getppid) != parent)
            ::syscall(SYS_exit_group, 127);
        for (std::size_t i = 0; i < limit_count; ++i) {
            const rlimit limit{limits[i].value, limits[i].value};
            if (::syscall(SYS_prlimit64, 0, limits[i].resource, &limit, nullptr) != 0)
                return "setting a limit";
        }
        return nullptr;
    }

private:
    const char* become_user() const noexcept
    {
        if (::syscall(SYS_setgroups, group_count, groups) != 0)
            return "setting its groups";
        if (::syscall(SYS_setresgid, group, group, group) != 0)
            return "changing its group";
        if (::syscall(SYS_setresuid, user, user, user) != 0)
            return "changing its user";
        return nullptr;
    }
};

}  // namespace instancer::detail
