// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <instancer/backend/container_options.hpp>
#include <instancer/backend/container_privileges.hpp>
#include <instancer/backend/instance_secret.hpp>
#include <instancer/backend/stderr_to.hpp>

namespace instancer {

/// How an instance in a container is reached.
using DockerIo = ContainerIo;

/// When to pull an image.
enum class DockerPull {
    missing,  ///< Pull it.
    never,    ///< Fail, and say so.
};

/// The limits of one container; 0 means no limit.
class DockerLimits : public ContainerLimits {
public:
    std::uint64_t log = 1u << 20;  ///< Bytes of output that the engine keeps.

    DockerLimits() = default;
};

/// A file or directory of the host that containers see, read-only.
using DockerMount = ContainerMount;

/// A directory in memory.
using DockerTmpfs = ContainerTmpfs;

/// The containers of a DockerBackend. Privileged mode, the host's network and the engine's own socket cannot be
/// had.
class DockerOptions {
public:
    std::string engine = "unix:///var/run/docker.sock";  ///< Only Unix sockets.
    std::string daemon = "instancerd";  ///< Marks containers as ours, also after a crash: letters, digits, `_`, `-`.
    std::vector<std::string> services;  ///< All of this daemon: containers that a crash left of others are removed.

    std::string image;                      ///< Name or id of the image; one rebuilt is used from then on.
    std::vector<std::string> command;       ///< Empty for the image's own.
    DockerIo io = DockerIo::port;           ///< How a client reaches the program.
    std::uint16_t port = 0;                 ///< 0 for the single TCP port that the image exposes.
    bool pty = false;                       ///< stdio on a terminal.
    StderrTo stderr_to = StderrTo::log;     ///< stdio only.
    DockerPull pull = DockerPull::missing;  ///< Whether an image that the engine does not have is fetched.

    std::vector<std::pair<std::string, std::string>> env;  ///< Environment beside what the image has.
    bool client_env = true;                                ///< Tell an instance by its environment who its client is.
    std::string user;                                      ///< Empty for the image's own, or 65534 where that is root.
    DockerLimits limits;                                   ///< The limits of one container.
    ContainerPrivileges privileges;                        ///< None, unless the programs need them.
    std::string runtime;                                   ///< Empty for the engine's default.
    bool read_only = true;                                 ///< The root file system.
    std::vector<DockerTmpfs> tmpfs;                        ///< Beside /tmp.
    std::vector<DockerMount> mounts;                       ///< Directories and files of the host that it sees.
    bool egress = false;  ///< Let containers connect to the outside; never to the host or each other.

    InstanceSecret secret;  ///< The directory of its file becomes one in memory, if it is none.

    std::chrono::milliseconds stop_grace{2000};  ///< From the stop signal to the kill; 0 kills at once.

    std::chrono::milliseconds claim_renewal{10'000};   ///< How often the claim on `daemon` is renewed at the engine.
    std::chrono::milliseconds claim_patience{30'000};  ///< How long another's claim has to stay unchanged to be dead.

    DockerOptions() = default;
};

}  // namespace instancer
