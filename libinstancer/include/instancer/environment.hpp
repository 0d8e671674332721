// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace instancer {

/// Variables of a program's environment: their names and values, none of a name that another one has.
using Environment = std::vector<std::pair<std::string, std::string>>;

}  // namespace instancer
