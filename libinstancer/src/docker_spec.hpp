// SPDX-License-Identifier: MIT
// What a container of ours looks like to the engine: pure functions, no I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/docker_options.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline docker {

inline constexpr std::string_view label_daemon = "instancer.daemon";
inline constexpr std::string_view label_service = "instancer.service";
inline constexpr std::string_view label_started = "instancer.started";
inline constexpr std::string_view label_config = "instancer.config";

/// What an image says about itself.
class ImageFacts {
public:
    ImageFacts() = default;
    /// From the engine's answer to an inspection.
    explicit ImageFacts(const nlohmann::json& image);

    std::string id;
    std::string user;
    std::string stop_signal = "SIGTERM";
    std::vector<std::string> ports;    ///< `9000/tcp`
    std::vector<std::string> volumes;  ///< Paths.

    /// For the operator.
    std::string describe_ports() const;
};

/// A container's name: `DAEMON.SERVICE.warm.RANDOM`, or `DAEMON.SERVICE.KIND.OWNER.ID.TIME.RANDOM`, where KIND is
/// `returning` or `unique`, OWNER and ID are hashes and TIME says since when it has that owner; `TIME-SECONDS` once its
/// time to live was extended. Names can change when labels cannot.
class ContainerName {
public:
    using Seconds = std::chrono::seconds;

    ContainerName() = default;
    /// For nobody yet.
    ContainerName(std::string_view daemon, std::string_view service);
    ContainerName(std::string_view daemon, std::string_view service, const Identity& identity, Seconds claimed,
                  Seconds extended = Seconds(0));

    /// Empty when `text` is no name of that daemon and service.
    static std::optional<ContainerName> parse(std::string_view text, std::string_view daemon, std::string_view service);

    const std::string& text() const noexcept { return text_; }
    const std::optional<Identity>& identity() const noexcept { return identity_; }

    /// Since the epoch.
    Seconds claimed() const noexcept { return claimed_; }

    /// How much its time to live was extended.
    Seconds extended() const noexcept { return extended_; }

private:
    std::string text_;
    std::optional<Identity> identity_;
    Seconds claimed_{0};
    Seconds extended_{0};
};

/// Whether options and names can be used at all, as far as that can be told without the engine.
Result<void> check(const DockerOptions& options, std::string_view service);

/// The port to connect to.
Result<std::uint16_t> service_port(const DockerOptions& options, const ImageFacts& image);

/// The user that containers run as; empty for the image's own.
std::string container_user(const DockerOptions& options, const ImageFacts& image);

/// Everything that all containers have in common, as the engine wants it. `port` is that of port mode.
nlohmann::json container_spec(const DockerOptions& options, const ImageFacts& image, std::uint16_t port);

/// What the container of one instance gets: what all have in `common`, what the instance is told by its environment,
/// and `secret` if that goes there.
nlohmann::json instance_spec(const nlohmann::json& common, const DockerOptions& options, const InstanceRequest& request,
                             const std::string& secret);

/// What finds a container of the service again; `config` is its `config_hash`.
nlohmann::json container_labels(const DockerOptions& options, std::string_view service, std::string_view config);

/// Now, since the epoch.
std::chrono::seconds unix_time();

/// A short hash of all that shapes a container; `secret_version` is that of its secret.
std::string config_hash(const nlohmann::json& spec, const ImageFacts& image, const std::string& secret_version);

/// The path whose DELETE kills and removes a container, named by name or id, with its volumes.
std::string container_removal(const std::string& container);

/// Splits the output that the engine keeps of a container without terminal into plain text.
std::string unframed(std::string_view frames);

}  // namespace instancer::detail::inline docker
