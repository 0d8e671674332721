// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

namespace instancer::detail {

/// Whether `path` is `directory` or lies in it, as they are written.
inline bool is_below(const std::filesystem::path& path, const std::filesystem::path& directory)
{
    return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
}

/// Whether `path` is `directory` or lies in it, once all links are followed.
inline bool contains_path(const std::string& directory, const std::string& path)
{
    std::error_code ignored;
    return is_below(std::filesystem::weakly_canonical(path, ignored),
                    std::filesystem::weakly_canonical(directory, ignored));
}

}  // namespace instancer::detail
