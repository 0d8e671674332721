// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/backend/oci_options.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// Whether the files of the image have the program of the command. What is mounted over them is not looked at.
///
/// Errors: Errc::bad_request when they have none; what the system reports.
Result<void> check_program(const OciOptions& options);

}  // namespace instancer::detail::inline oci
