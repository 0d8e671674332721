// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <string>

namespace instancer::daemon {

/// Owners that a list knows, by their hash, and what the operator calls each of them: often nothing.
using Owners = std::map<std::string, std::string, std::less<>>;

}  // namespace instancer::daemon
