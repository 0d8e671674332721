// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

#include "docker_bridge_network.hpp"
#include "docker_calls.hpp"
#include "docker_preparation.hpp"
#include "docker_watch.hpp"

namespace instancer::detail::inline docker {

/// Prepares a service at the engine, and keeps up what that takes: the watch of the engine's events, and the firewall
/// rule of its network.
///
/// Threads: the control executor, but for `preparation`.
class DockerUpkeep final : public std::enable_shared_from_this<DockerUpkeep> {
public:
    /// Lifetime: what is passed by reference must outlive the last call.
    DockerUpkeep(std::shared_ptr<DockerCalls> calls, DockerBridgeNetwork& network, const DockerOptions& options,
                 std::string service, Events& events, DockerWatch::Observer& observer);

    /// What containers have in common. The first time, begins to watch the engine.
    ///
    /// Errors: as those of `DockerPreparation::get`.
    asio::awaitable<Result<std::shared_ptr<const Prepared>>> prepared();

    DockerPreparation& preparation() noexcept { return preparation_; }

    /// Stops the watch, and with it the engine's calls.
    void close();

private:
    static asio::awaitable<void> keep_firewall(std::weak_ptr<DockerUpkeep> weak);

    const std::shared_ptr<DockerCalls> calls_;
    DockerPreparation preparation_;
    DockerWatch watch_;
    asio::steady_timer firewall_look_;
    bool keeps_firewall_ = false;  ///< `keep_firewall` runs.
};

}  // namespace instancer::detail::inline docker
