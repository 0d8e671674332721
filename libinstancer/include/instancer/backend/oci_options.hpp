// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <instancer/backend/container_options.hpp>
#include <instancer/backend/container_privileges.hpp>
#include <instancer/backend/instance_secret.hpp>
#include <instancer/backend/oci_image.hpp>
#include <instancer/backend/oci_root.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/terminal_mode.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// What containers an OciBackend starts.
class OciOptions {
public:
    std::string daemon = "instancerd";  ///< By it a later run finds what a crash left: letters, digits, `_`, `-`.
    OciImage image;                     ///< All containers share its files.
    /// Finds `image` when the backend is prepared, on a thread of the backend's, as `OciStore::import_archive` does. It
    /// is to end soon once the token asks for that. None: `image` is known.
    std::function<Result<OciImage>(std::stop_token)> find_image;
    OciRoot root;                      ///< In place of the image's files, unless it is empty.
    std::vector<std::string> command;  ///< Follows the image's entrypoint; empty for the image's own.
    /// Name or path of a container runtime that has the command line of runc; empty for crun, or else runc.
    std::string runtime;
    std::string init;  ///< Path of the program `instancer-init`.

    ContainerIo io = ContainerIo::port;     ///< How a client reaches the program.
    std::uint16_t port = 0;                 ///< 0 for the single TCP port that the image exposes.
    TerminalMode pty = TerminalMode::none;  ///< stdio on a terminal.
    StderrTo stderr_to = StderrTo::log;     ///< With a port: where all output goes, but not to the client.

    std::vector<std::pair<std::string, std::string>> env;  ///< Environment beside what the image has.
    bool client_env = true;                                ///< Tell an instance by its environment who its client is.
    std::string user;                                      ///< Empty for the image's own, or 65534 where that is root.
    std::optional<UserRange> users;                        ///< In place of `user`: each container has one for itself.
    ContainerLimits limits;                                ///< What one container may use.
    ContainerPrivileges privileges;                        ///< None, unless the programs need them.
    bool read_only = true;               ///< The root file system; else what is written has room like `/tmp`.
    std::vector<ContainerTmpfs> tmpfs;   ///< Beside /tmp.
    std::vector<ContainerMount> mounts;  ///< What it sees of the host.

    InstanceSecret secret;  ///< The directory of its file becomes one in memory, if it is none.

    std::chrono::milliseconds stop_grace{2000};  ///< From TERM to the kill; 0 kills at once.

    OciOptions() = default;
};

}  // namespace instancer
