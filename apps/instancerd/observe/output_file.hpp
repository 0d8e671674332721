// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <instancer/unique_fd.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// Opens a file to append to, and creates it for its owner and their group where there is none. Writing does not block.
/// The error says what for, as in `the log`.
Parsed<UniqueFd> open_to_append(const std::string& file, std::string_view purpose);

}  // namespace instancer::daemon
