// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include <instancer/backend/oci_root.hpp>
#include <instancer/result.hpp>

namespace instancer::detail::inline oci {

/// Makes a directory at `path` with the links, files and directories of `root`, and with places for what is bound.
///
/// Errors: what the system reports; what was made before that stays.
Result<void> make_root_directory(const OciRoot& root, const std::filesystem::path& path);

}  // namespace instancer::detail::inline oci
