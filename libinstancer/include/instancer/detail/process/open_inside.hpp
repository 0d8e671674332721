// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer::detail {

/// Opens `path` below the directory `root` as a process that has it as its root directory sees it: no link leads out
/// of that. `flags` are those of open(2). None with `errno`.
inline UniqueFd open_inside(int root, const std::string& path, int flags)
{
    open_how how{};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
    return UniqueFd(static_cast<int>(::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

}  // namespace instancer::detail
