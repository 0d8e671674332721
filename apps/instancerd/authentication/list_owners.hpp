// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "config/settings.hpp"

namespace instancer::daemon {

/// A line for each owner that a file of tokens knows: hash, service and label, with tabs between them. What cannot be
/// read is left out.
std::string list_owners(const Settings& settings);

}  // namespace instancer::daemon
