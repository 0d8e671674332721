// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <asio/awaitable.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>

#include "docker_bridge_network.hpp"
#include "docker_calls.hpp"
#include "docker_container.hpp"
#include "docker_diagnosis.hpp"
#include "docker_locator.hpp"
#include "docker_removals.hpp"
#include "docker_upkeep.hpp"

namespace instancer::detail::inline docker {

/// The steps of an instance's start: its container is created, and then run.
///
/// Threads: the control executor.
class ContainerStarter {
public:
    /// Lifetime: what is passed by reference must outlive it.
    ContainerStarter(DockerCalls& calls, DockerUpkeep& upkeep, DockerBridgeNetwork& network, DockerRemovals& removals,
                     ContainerLocator& locator, ContainerDiagnosis& diagnosis, const DockerOptions& options,
                     const std::string& service)
        : calls_(calls),
          upkeep_(upkeep),
          network_(network),
          removals_(removals),
          locator_(locator),
          diagnosis_(diagnosis),
          options_(options),
          service_(service)
    {
    }

    /// Creates a container, with `secret` in its environment if it goes there.
    asio::awaitable<Result<std::shared_ptr<Container>>> create(const InstanceRequest& request, std::string secret);

    /// Starts it, and finds out where it can be reached; or takes its standard streams.
    asio::awaitable<Result<void>> run(Container& container);

private:
    asio::awaitable<Result<void>> locate(Container& container);
    Result<std::optional<DockerBridgeNetwork::Address>> take_address(const Prepared& prepared);

    DockerCalls& calls_;
    DockerUpkeep& upkeep_;
    DockerBridgeNetwork& network_;
    DockerRemovals& removals_;
    ContainerLocator& locator_;
    ContainerDiagnosis& diagnosis_;
    const DockerOptions& options_;
    const std::string& service_;
};

}  // namespace instancer::detail::inline docker
