// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

namespace instancer::detail {

/// Whether `path` is `directory` or lies in it, once all links are followed.
inline bool contains_path(const std::string& directory, const std::string& path)
{
    std::error_code ignored;
    const auto outer = std::filesystem::weakly_canonical(directory, ignored);
    const auto inner = std::filesystem::weakly_canonical(path, ignored);
    return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

}  // namespace instancer::detail
