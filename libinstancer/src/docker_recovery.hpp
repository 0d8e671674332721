// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>
#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/result.hpp>

#include "docker_bridge_network.hpp"
#include "docker_calls.hpp"
#include "docker_container_table.hpp"
#include "docker_locator.hpp"
#include "docker_preparation.hpp"
#include "docker_removals.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

/// Finds the containers that a previous run left behind: takes over those that can serve, and removes the others.
///
/// Threads: the control executor.
class DockerRecovery {
public:
    /// Lifetime: what is passed by reference must outlive it.
    DockerRecovery(DockerCalls& calls, DockerBridgeNetwork& network, ContainerTable& containers,
                   DockerRemovals& removals, ContainerLocator& locator, const DockerOptions& options,
                   const std::string& service, Events& events)
        : calls_(calls),
          network_(network),
          containers_(containers),
          removals_(removals),
          locator_(locator),
          options_(options),
          service_(service),
          events_(events)
    {
    }

    /// The containers that were taken over; `prepared` is what those of this run have in common.
    asio::awaitable<Result<std::vector<OrphanInstance>>> recover(std::shared_ptr<const Prepared> prepared);

private:
    /// Whether the daemon has such a service now; without a list it may.
    bool is_served(const std::string& service) const;
    bool is_usable(const nlohmann::json& summary, const ContainerName& name, const Prepared& prepared) const;
    asio::awaitable<Result<EngineReply>> list();
    asio::awaitable<Result<OrphanInstance>> adopt(const nlohmann::json& summary, const ContainerName& name,
                                                  std::shared_ptr<const Prepared> prepared);

    DockerCalls& calls_;
    DockerBridgeNetwork& network_;
    ContainerTable& containers_;
    DockerRemovals& removals_;
    ContainerLocator& locator_;
    const DockerOptions& options_;
    const std::string& service_;
    Events& events_;
};

}  // namespace instancer::detail::inline docker
