// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <instancer/backend/docker_options.hpp>

#include "docker_claim.hpp"

namespace instancer::detail::inline docker {

/// What a backend that has gone leaves to be done at the engine: for a thread that nobody waits for but the end of the
/// process, and that for few seconds.
class DockerFarewell {
public:
    std::string engine;
    std::string daemon;
    std::string service;
    std::vector<std::string> containers;  ///< To be removed.
    bool network = false;                 ///< To be removed.
    std::shared_ptr<DockerClaim> claim;   ///< To be given back, if this is the last service that shares it.

    DockerFarewell() = default;

    /// Does it, some time soon, if there is anything to do.
    static void say(DockerFarewell farewell);

    /// Waits until nothing is left to be done for that daemon.
    static void wait(const std::string& daemon);
};

}  // namespace instancer::detail::inline docker
