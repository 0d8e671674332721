// SPDX-License-Identifier: MIT
// Which system calls a container may make.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// The filter as the kernel takes it, for this machine's architecture and those that its processor runs as well.
/// `capabilities` are those that programs may have: the system calls that they are for are allowed.
///
/// Time: some 50 ms.
/// Errors: Errc::backend_unavailable, with what libseccomp refused.
Result<std::string> seccomp_program(const std::vector<std::string>& capabilities = {});

/// The same filter in the words of the OCI runtime specification, which a runtime compiles for each container.
nlohmann::json seccomp_rules(const std::vector<std::string>& capabilities = {});

/// A filter of the operator's own, as Docker and OCI runtimes read it, in the words of that specification.
///
/// Errors: Errc::bad_request, when it is none.
Result<nlohmann::json> seccomp_rules_of(std::string_view filter, const std::vector<std::string>& capabilities);

}  // namespace instancer::detail::inline oci
