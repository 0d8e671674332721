// SPDX-License-Identifier: MIT
#include "modes/container_checks.hpp"

#include <filesystem>
#include <system_error>

#include <instancer/backend/docker_exposure.hpp>

namespace instancer::daemon {

void check_container_mounts(Checker& checker)
{
    const auto& docker = checker.service.docker;
    for (const auto& mount : docker.mounts) {
        std::error_code error;
        if (!std::filesystem::exists(mount.source, error))
            checker.refuse("mount", "there is no " + mount.source + "; create it or correct the path");
        else if (instancer::exposes_engine(docker, mount.source))
            checker.refuse("mount", mount.source +
                                        " would give containers the Docker engine, and with it the host; mount "
                                        "something smaller");
    }
    for (const auto& tmpfs : docker.tmpfs)
        if (std::filesystem::path(tmpfs.target + "/").lexically_normal() == "/tmp/")
            checker.refuse("tmpfs", "/tmp is one already; set its size by " + checker.say("limit-tmp", "64m"));
}

}  // namespace instancer::daemon
