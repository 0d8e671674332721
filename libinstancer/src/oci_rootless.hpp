// SPDX-License-Identifier: MIT
// Containers that an ordinary user starts: in a user namespace, in which that user is the only one there is.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>
#include <unistd.h>

#include <instancer/backend/oci_options.hpp>
#include <instancer/backend/oci_user.hpp>
#include <instancer/result.hpp>

#include "oci_runtime.hpp"

namespace instancer::detail::inline oci {

/// Whether containers are started without root.
inline bool is_rootless() { return ::geteuid() != 0; }

/// Whether this system lets an ordinary user make the namespaces of a container.
///
/// Errors: Errc::bad_request, with the remedy.
Result<void> check_user_namespaces();

/// What of `options` takes root.
///
/// Errors: Errc::bad_request, with the remedy.
Result<void> check_rootless(const OciOptions& options, const OciRuntime& runtime);

/// The same for the user that the program gets.
Result<void> check_rootless_user(const OciUser& user);

/// Gives a configuration a user namespace in which `user` is this process's own.
void set_user_namespace(nlohmann::json& spec, const OciUser& user);

/// What to do where a container without root does not work.
std::string rootless_remedy();

}  // namespace instancer::detail::inline oci
