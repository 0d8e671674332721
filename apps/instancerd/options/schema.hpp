// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace instancer::daemon {

/// The JSON schema (draft 2020-12) of the configuration, for editors: keys, types and choices of every mode. What
/// depends on several of them, or on this machine, is for `check` to say.
std::string json_schema();

}  // namespace instancer::daemon
