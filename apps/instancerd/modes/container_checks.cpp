// SPDX-License-Identifier: MIT
#include "modes/container_checks.hpp"

#include <filesystem>
#include <system_error>

namespace instancer::daemon {

void check_container_mounts(Checker& checker)
{
    const auto& docker = checker.service.docker;
    for (const auto& mount : docker.mounts) {
        std::error_code error;
        if (!std::filesystem::exists(mount.source, error))
            checker.refuse("mount", "there is no " + mount.source + "; create it or correct the path");
    }
    for (const auto& tmpfs : docker.tmpfs)
        if (std::filesystem::path(tmpfs.target + "/").lexically_normal() == "/tmp/")
            checker.refuse("tmpfs", "/tmp is one already; set its size by " + checker.say("limit-tmp", "64m"));
}

}  // namespace instancer::daemon
