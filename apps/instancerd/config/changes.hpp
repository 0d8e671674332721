// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "options/values.hpp"

namespace instancer::daemon {

/// What differs between two texts of a configuration, as in `services.web.ttl`; comments and layout do not count. The
/// error names `file` and says what is wrong with the text `now`.
Parsed<std::vector<std::string>> changes_between(std::string_view before, std::string_view now,
                                                 const std::string& file);

}  // namespace instancer::daemon
