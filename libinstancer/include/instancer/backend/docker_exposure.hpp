// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include <instancer/backend/docker_options.hpp>
#include <instancer/detail/text/contains_path.hpp>

namespace instancer {

/// Whether a mount of the host's `source` would give an instance the socket of a Docker engine, and so the whole host.
///
/// It follows links, and looks at the engine of `options` and at the usual one.
inline bool exposes_engine(const DockerOptions& options, const std::string& source)
{
    const std::string scheme = "unix://";
    const auto engine = options.engine.starts_with(scheme) ? options.engine.substr(scheme.size()) : options.engine;
    return detail::contains_path(source, engine) || detail::contains_path(source, "/var/run/docker.sock");
}

}  // namespace instancer
