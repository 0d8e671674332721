// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <instancer/backend/instance_secret.hpp>
#include <instancer/backend/stderr_to.hpp>

namespace instancer {

/// How an instance in a container is reached.
enum class DockerIo {
    port,   ///< It listens on a TCP port inside the container.
    stdio,  ///< Its standard input and output are the connection; it serves one.
};

/// When to pull an image.
enum class DockerPull {
    missing,  ///< Pull it.
    never,    ///< Fail, and say so.
};

/// The limits of one container; 0 means no limit.
class DockerLimits {
public:
    std::uint64_t memory = 256u << 20;  ///< Bytes, swap included.
    double cpus = 1;                    ///< Processors.
    std::uint64_t pids = 64;            ///< Processes and threads.
    std::uint64_t nofile = 1024;        ///< Open files of each process.
    std::uint64_t core = 0;             ///< Bytes of a core file; 0: none is written.
    std::uint64_t tmp = 64u << 20;      ///< Bytes in /tmp, and in each volume that the image declares.
    std::uint64_t log = 1u << 20;       ///< Bytes of output that the engine keeps.

    DockerLimits() = default;
};

/// A file or directory of the host that containers see, read-only.
class DockerMount {
public:
    /// Mounts `from` of the host at `to`.
    DockerMount(std::string from, std::string to) : source(std::move(from)), target(std::move(to)) {}

    std::string source;  ///< Absolute path on the host.
    std::string target;  ///< Absolute path in the container.
};

/// A directory in memory.
class DockerTmpfs {
public:
    /// Mounts `bytes` of memory at `path`.
    DockerTmpfs(std::string path, std::uint64_t bytes) : target(std::move(path)), size(bytes) {}

    std::string target;  ///< Absolute path in the container.
    std::uint64_t size;  ///< Bytes; 0 means no limit.
};

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
