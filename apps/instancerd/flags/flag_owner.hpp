// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include <instancer/backend/instance_secret.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// `UID`, or `UID:GID`; the group of the user alone has its number.
Parsed<FileOwner> parse_file_owner(std::string_view text);

}  // namespace instancer::daemon
