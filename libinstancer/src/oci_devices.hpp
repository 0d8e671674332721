// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// Gives a container device nodes of the host, at the same paths with the same owners and permissions.
///
/// Errors: Errc::bad_request names what is no device.
Result<void> add_devices(nlohmann::json& spec, const std::vector<std::string>& paths);

}  // namespace instancer::detail::inline oci
