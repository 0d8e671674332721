// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include <instancer/detail/process/open_inside.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// All of a regular file below `root`; empty when there is none.
///
/// Errors: it is no regular file, or has more than `most` bytes; what the system reports.
Result<std::string> read_inside(int root, const std::string& path, std::size_t most);

}  // namespace instancer::detail::inline oci
