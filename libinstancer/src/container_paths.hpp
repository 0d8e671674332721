// SPDX-License-Identifier: MIT
// Paths in the options of containers, with an engine or without.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <instancer/backend/container_options.hpp>
#include <instancer/backend/instance_secret.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Where the file of the secret is; empty without one.
inline std::string secret_directory(const InstanceSecret& secret)
{
    return secret.has_file() ? std::filesystem::path(secret.file).parent_path().string() : std::string();
}

/// Errors: Errc::bad_request, which names the first path that cannot be one of a container.
inline Result<void> check_paths(const std::vector<ContainerMount>& mounts, const std::vector<ContainerTmpfs>& tmpfs,
                                const InstanceSecret& secret)
{
    for (const auto& mount : mounts)
        if (!mount.source.starts_with('/') || !mount.target.starts_with('/'))
            return fail(Errc::bad_request,
                        "mount '" + mount.source + "' to '" + mount.target + "': both paths must be absolute");
    for (const auto& directory : tmpfs)
        if (!directory.target.starts_with('/'))
            return fail(Errc::bad_request, "tmpfs '" + directory.target + "': the path must be absolute");
    const auto directory = secret_directory(secret);
    if (secret.has_file() && (!directory.starts_with('/') || directory == "/"))
        return fail(Errc::bad_request, "the file '" + secret.file +
                                           "' of the secret: its directory becomes one in memory, so write an absolute "
                                           "path that has one, as in /run/flag/flag");
    return {};
}

}  // namespace instancer::detail
