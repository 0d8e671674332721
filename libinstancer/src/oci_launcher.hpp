// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <instancer/async/helper_threads.hpp>
#include <instancer/backend/oci_options.hpp>
#include <instancer/backend/oci_user.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/detail/process/spawn_watchdog.hpp>
#include <instancer/detail/process/supervisor_message.hpp>
#include <instancer/detail/process/user_allocator.hpp>
#include <instancer/events.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "oci_container.hpp"
#include "oci_host.hpp"
#include "oci_rootless.hpp"
#include "oci_runtime.hpp"

namespace instancer::detail::inline oci {

/// A container whose runtime was started.
class LaunchedContainer {
public:
    LaunchedContainer(SpawnedProcess process, UniqueFd supervisor_end, UniqueFd output_end)
        : runtime(std::move(process)), supervisor(std::move(supervisor_end)), output(std::move(output_end))
    {
    }

    SpawnedProcess runtime;
    UniqueFd supervisor;  ///< Our end of what is said to instancer-init.
    UniqueFd output;      ///< Where the runtime, and the program, write what is for the operator.
};

/// The runtime, where this process can start containers with these options.
///
/// Errors: Errc::bad_request, with the remedy.
Result<OciRuntime> find_usable_runtime(const OciOptions& options);

/// Starts containers and removes them, all by calls that block.
///
/// Threads: helper threads; any, once `prepare` has returned.
class OciLauncher {
public:
    using Kind = SupervisorMessage::Kind;

    /// Lifetime: `options` must outlive it.
    OciLauncher(const OciOptions& options, std::string service) : options_(options), service_(std::move(service)) {}

    /// Finds out what all containers have in common, and removes what earlier runs left.
    ///
    /// Errors: Errc::bad_request, with the remedy; what the system reports.
    Result<void> prepare(Events& events);

    /// Starts the runtime with a container for `request`. `kind` is what its first process is told. What the container
    /// got before a failure is taken away again.
    Result<LaunchedContainer> launch(const InstanceRequest& request, OciContainer& container, Kind kind,
                                     const std::string& secret);

    /// Takes away what is left of a container whose runtime has ended.
    Result<void> clean_up(OciContainer& container);

    /// The port that the program listens on.
    std::uint16_t port() const noexcept { return port_; }
    /// Whose a file becomes that is for the container's program, as this process sees its user.
    FileOwner owner_in(const OciContainer& container) const noexcept
    {
        if (rootless_)
            return FileOwner(::geteuid(), ::getegid());
        return FileOwner(container.user.value_or(user_.uid), container.user.value_or(user_.gid));
    }
    /// Whether containers are in a user namespace of this process's user.
    bool is_rootless() const noexcept { return rootless_; }

private:
    static constexpr std::chrono::seconds start_patience{5};  ///< Until the runtime is executed; a guess.

    std::string files() const { return options_.root.empty() ? options_.image.root.string() : host_->files(); }
    Result<nlohmann::json> make_spec(const OciRuntime& runtime) const;
    Result<void> set_seccomp(nlohmann::json& spec, const OciRuntime& runtime) const;
    Result<LaunchedContainer> equip_and_launch(const InstanceRequest& request, OciContainer& container, Kind kind,
                                               const std::string& secret);
    Result<void> equip(OciContainer& container);
    Result<UniqueFd> make_network();
    Result<void> hand_over_streams(OciContainer& container, Kind kind, int supervisor, int output) const;
    Result<UniqueFd> configuration(const InstanceRequest& request, const OciContainer& container,
                                   const std::string& secret) const;
    std::vector<std::string> command_of(const OciContainer& container) const;
    Result<SpawnedProcess> spawn_in_groups(SpawnPlan plan, const OciGroups& groups);

    const OciOptions& options_;
    const std::string service_;
    const bool rootless_ = detail::is_rootless();
    std::uint16_t port_ = 0;
    OciUser user_;
    std::optional<UserAllocator> users_;
    nlohmann::json spec_;
    std::unique_ptr<OciRuntime> runtime_;
    std::unique_ptr<OciHost> host_;
    SpawnWatchdog watchdog_{start_patience};
    HelperThreads namespace_thread_{1};
};

}  // namespace instancer::detail::inline oci
