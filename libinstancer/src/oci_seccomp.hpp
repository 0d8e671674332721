// SPDX-License-Identifier: MIT
// Which system calls a container may make.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// The filter as the kernel takes it, for this machine's architecture and those that its processor runs as well.
///
/// Time: some 50 ms.
/// Errors: Errc::backend_unavailable, with what libseccomp refused.
Result<std::string> seccomp_program();

/// The same filter in the words of the OCI runtime specification, which a runtime compiles for each container.
nlohmann::json seccomp_rules();

}  // namespace instancer::detail::inline oci
