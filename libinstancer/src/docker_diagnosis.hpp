// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <asio/awaitable.hpp>

#include <instancer/backend/docker_options.hpp>

#include "docker_calls.hpp"
#include "docker_container.hpp"

namespace instancer::detail::inline docker {

/// How the container ended.
std::string describe_exit(const Container& container);

/// What to do about a start that failed, as far as `output` tells; it begins with a newline. Empty if nothing is known.
std::string start_remedy(std::string_view output);

/// Tells the operator what became of a container, and why.
///
/// Threads: the control executor.
class ContainerDiagnosis {
public:
    /// Lifetime: `calls` must outlive it.
    ContainerDiagnosis(DockerCalls& calls, DockerIo io) : calls_(calls), io_(io) {}

    /// What explains the state of a container, if it is not in order; each line after a newline.
    asio::awaitable<std::string> explain(Container& container);

    /// How it ended, and what explains that if it ended badly or before it served anyone.
    asio::awaitable<std::string> explain_exit(Container& container);

private:
    asio::awaitable<std::string> output(const Container& container);

    DockerCalls& calls_;
    const DockerIo io_;
};

}  // namespace instancer::detail::inline docker
