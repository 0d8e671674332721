// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace instancer {

/// What containers may do beyond what is safe for all programs. Each of these makes them worse walls.
class ContainerPrivileges {
public:
    /// Programs with a setuid or setgid bit, or capabilities of their file, run with them.
    bool setuid = false;

    /// Capabilities, as in `CAP_NET_RAW`, that root in the container has, and with `setuid` programs whose file has
    /// them. Nobody else gets them.
    std::vector<std::string> capabilities;

    std::vector<gid_t> groups;         ///< Further groups of the program, as those of the devices.
    std::vector<std::string> devices;  ///< Absolute paths of device nodes of the host, which are at the same path.

    /// A filter of system calls in place of the usual one: JSON, as Docker and OCI runtimes read it; empty for none.
    std::optional<std::string> seccomp;

    ContainerPrivileges() = default;
};

}  // namespace instancer
