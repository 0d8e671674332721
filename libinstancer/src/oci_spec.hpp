// SPDX-License-Identifier: MIT
// What a container of ours looks like to a runtime, in the words of the OCI runtime specification: pure functions, no
// I/O.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <instancer/backend/oci_options.hpp>
#include <instancer/backend/oci_user.hpp>
#include <instancer/instance.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// Whether options and names can be used at all, as far as that can be told without the system.
Result<void> check(const OciOptions& options, std::string_view service);

/// The port to connect to; 0 where standard streams are the connection.
Result<std::uint16_t> service_port(const OciOptions& options);

/// Whom containers run as, as `find_oci_user` takes it.
std::string container_user(const OciOptions& options);

/// What the program's arguments are.
std::vector<std::string> container_command(const OciOptions& options);

/// Everything that all containers have in common. `root` is where a container's root directory is when it starts.
nlohmann::json container_spec(const OciOptions& options, const OciUser& user, const std::string& root,
                              const std::string& service);

/// Limits that the runtime sets, where no control group of ours does.
nlohmann::json container_resources(const ContainerLimits& limits);

/// Adds what an instance for `request` has of its own; `secret` is what its environment tells, or empty.
void personalize(nlohmann::json& spec, const OciOptions& options, const InstanceRequest& request,
                 const std::string& secret);

/// The container gets `user` with the group of that number, in place of the user whom the others were made for.
void set_user(nlohmann::json& spec, const OciUser& before, uid_t user);

/// The container enters that network namespace, or else gets one of its own.
void set_network(nlohmann::json& spec, const std::string& path);

}  // namespace instancer::detail::inline oci
