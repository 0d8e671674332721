// SPDX-License-Identifier: MIT
// The variables that a webhook has for the instance of a client.
#pragma once

#include <cstddef>
#include <string>

#include <nlohmann/json_fwd.hpp>

#include <instancer/environment.hpp>

#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

inline constexpr std::size_t max_environment_variables = 64;
inline constexpr std::size_t max_environment_bytes = 4096;  ///< Of all names and values.

/// What `object` says. The error goes on from "its answer", and holds nothing of a value.
Parsed<Environment> parse_environment(const nlohmann::json& object);

/// Why an instance of `service` cannot get them, in the same way; empty where it can.
std::string problem_with(const Environment& variables, const ServiceSettings& service);

}  // namespace instancer::daemon
