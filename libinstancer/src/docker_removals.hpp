// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/result.hpp>

#include "docker_calls.hpp"

namespace instancer::detail::inline docker {

/// Removes containers, named by name or id, and remembers those that the engine could not remove at once.
///
/// Threads: the control executor.
class DockerRemovals final : public std::enable_shared_from_this<DockerRemovals> {
public:
    explicit DockerRemovals(std::shared_ptr<DockerCalls> calls) : calls_(std::move(calls)) {}

    /// Kills the container if it still runs, and removes it with its volumes.
    ///
    /// Errors: Errc::backend_unavailable; it is tried again later.
    asio::awaitable<Result<void>> remove(std::string container);

    /// Removes them side by side.
    asio::awaitable<void> remove_all(std::vector<std::string> containers);

    /// Removes it when the engine is back, or after a while.
    void remove_later(const std::string& container);

    /// Hands over what is still to be removed.
    std::vector<std::string> take_remaining() { return std::exchange(remaining_, {}); }

private:
    static asio::awaitable<void> retry(std::weak_ptr<DockerRemovals> weak);

    const std::shared_ptr<DockerCalls> calls_;
    std::vector<std::string> remaining_;
};

}  // namespace instancer::detail::inline docker
