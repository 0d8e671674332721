// SPDX-License-Identifier: MIT
// Services whose instances are containers that no engine starts.
#pragma once

#include <instancer/backend/oci_options.hpp>

#include "modes/modes.hpp"

namespace instancer::daemon {

extern const ModeEntry oci_mode;

std::span<const Option> oci_options();
void check_oci(Checker& checker);

/// What its containers are, but for their privileges and for what an archive says.
OciOptions oci_backend_options(const Settings& settings, const ServiceSettings& service);

/// Whether there is the runtime that is named.
void check_runtime(Checker& checker);

std::vector<std::string> warn_of_oci(const Settings& settings, const ServiceSettings& service);

}  // namespace instancer::daemon
