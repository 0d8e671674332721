// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline docker {

/// How connections to a port are made, and what network that takes.
enum class Reach {
    inside,   ///< From inside a container that has no network.
    egress,   ///< From inside a container on a bridge network.
    address,  ///< To the container's address on a bridge network.
};

/// Whether the processes of containers are ordinary ones of this host, by what the engine says of itself in `info`.
bool has_reachable_processes(const DockerOptions& options, const nlohmann::json& info);

/// Chooses how instances are reached, by what the engine says of itself in `info`; `may_enter` says whether this
/// process may enter network namespaces.
///
/// Errors: Errc::bad_request, with the remedy.
Result<Reach> choose_reach(const DockerOptions& options, const nlohmann::json& info, bool may_enter);

}  // namespace instancer::detail::inline docker
