// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace instancer {

/// How an instance in a container is reached.
enum class ContainerIo {
    port,   ///< It listens on a TCP port inside the container.
    stdio,  ///< Its standard input and output are the connection; it serves one.
};

/// What one container may use; 0 means no limit.
class ContainerLimits {
public:
    std::uint64_t memory = 256u << 20;  ///< Bytes, swap included.
    double cpus = 1;                    ///< Processors.
    std::uint64_t pids = 64;            ///< Processes and threads.
    std::uint64_t nofile = 1024;        ///< Open files of each process.
    std::uint64_t core = 0;             ///< Bytes of a core file; 0: none is written.
    std::uint64_t tmp = 64u << 20;      ///< Bytes in /tmp, and in each volume that the image declares.

    ContainerLimits() = default;
};

/// A file or directory of the host that containers see, read-only.
class ContainerMount {
public:
    /// Mounts `from` of the host at `to`.
    ContainerMount(std::string from, std::string to) : source(std::move(from)), target(std::move(to)) {}

    std::string source;  ///< Absolute path on the host.
    std::string target;  ///< Absolute path in the container.
};

/// A directory in memory.
class ContainerTmpfs {
public:
    /// Mounts `bytes` of memory at `path`.
    ContainerTmpfs(std::string path, std::uint64_t bytes) : target(std::move(path)), size(bytes) {}

    std::string target;  ///< Absolute path in the container.
    std::uint64_t size;  ///< Bytes; 0 means no limit.
};

}  // namespace instancer
