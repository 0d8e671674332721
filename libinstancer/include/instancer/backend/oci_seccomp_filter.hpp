// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <instancer/result.hpp>

namespace instancer {

/// Whether `filter` can be a filter of system calls as Docker and OCI runtimes read it. Names of system calls and of
/// actions are not looked at.
///
/// Errors: Errc::bad_request, with what is wrong.
Result<void> check_seccomp_filter(std::string_view filter);

}  // namespace instancer
