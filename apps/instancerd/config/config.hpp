// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

#include "config/problem.hpp"
#include "config/settings.hpp"

namespace instancer::daemon {

/// Reads the text of the configuration `file`. All that is wrong with it is added to `problems`.
Settings read_config(const std::filesystem::path& file, std::string_view text, Problems& problems);

}  // namespace instancer::daemon
