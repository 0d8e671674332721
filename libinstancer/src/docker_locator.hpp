// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/events.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

#include "docker_bridge_network.hpp"
#include "docker_calls.hpp"
#include "docker_container.hpp"
#include "network_namespace.hpp"

namespace instancer::detail::inline docker {

/// Finds out where containers can be reached, and connects to them.
class ContainerLocator final : public std::enable_shared_from_this<ContainerLocator> {
public:
    /// Lifetime: `network` must outlive it, and `events` the last call.
    ContainerLocator(std::shared_ptr<DockerCalls> calls, DockerBridgeNetwork& network, std::string service,
                     Events& events)
        : calls_(std::move(calls)), network_(network), service_(std::move(service)), events_(events)
    {
    }

    /// Asks once where a container can be reached.
    ///
    /// Errors: Errc::instance_gone when it does not run; all others leave open whether it does.
    /// Threads: the control executor.
    asio::awaitable<Result<void>> locate(Container& container);

    /// Asks until that is known or the container has ended.
    ///
    /// Threads: the control executor.
    void keep_locating(std::shared_ptr<Container> container);

    /// Connects to the port of a container that was located.
    ///
    /// Threads: any executor.
    asio::awaitable<Result<Stream>> connect(std::shared_ptr<Container> container);

    /// Waits for what goes on.
    void close() { connector_.close(); }

private:
    static asio::awaitable<void> locate_later(std::weak_ptr<ContainerLocator> weak,
                                              std::shared_ptr<Container> container);

    const std::shared_ptr<DockerCalls> calls_;
    DockerBridgeNetwork& network_;
    const std::string service_;
    Events& events_;
    NamespaceConnector connector_;
};

}  // namespace instancer::detail::inline docker
