// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include "admin/admin_json.hpp"

namespace instancer::daemon {

/// What a daemon answered, as a table for people. `list` is the member that holds the rows; of an answer without such a
/// member each member is a row.
std::string table_of(std::string_view list, const Json& answer);

/// An event in one line.
std::string line_of_event(const Json& event);

}  // namespace instancer::daemon
