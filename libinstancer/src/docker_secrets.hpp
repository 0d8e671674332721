// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <asio/awaitable.hpp>

#include <instancer/backend/instance_secret.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>

#include "docker_calls.hpp"
#include "docker_container.hpp"

namespace instancer::detail::inline docker {

/// Makes the secrets of instances, and writes them into containers.
///
/// Threads: the control executor.
class ContainerSecrets {
public:
    /// Lifetime: what is passed by reference must outlive it.
    ContainerSecrets(DockerCalls& calls, const InstanceSecret& options) : calls_(calls), options_(options) {}

    /// The secret of an instance; empty where it has none.
    asio::awaitable<Result<std::string>> make(const InstanceRequest& request);

    /// Writes the file of the secret, if it goes into one. A container that has ended by then needs none.
    asio::awaitable<Result<void>> place(const Container& container, std::string secret);

private:
    DockerCalls& calls_;
    const InstanceSecret& options_;
};

}  // namespace instancer::detail::inline docker
