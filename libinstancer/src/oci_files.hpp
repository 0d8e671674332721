// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include <fcntl.h>

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail::inline oci {

/// Opens `path` below the directory `root` as a process that has it as its root directory sees it: no link leads out
/// of that. `flags` are those of open(2). None with `errno`.
UniqueFd open_inside(int root, const std::string& path, int flags);

/// All of a regular file below `root`; empty when there is none.
///
/// Errors: it is no regular file, or has more than `most` bytes; what the system reports.
Result<std::string> read_inside(int root, const std::string& path, std::size_t most);

}  // namespace instancer::detail::inline oci
