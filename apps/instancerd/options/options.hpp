// SPDX-License-Identifier: MIT
// The one table of options. The command line, --help, the keys of the configuration, its schema, the manual and the
// page on options all follow it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "options/option.hpp"

namespace instancer::daemon {

/// All options, in the order of --help.
const std::vector<Option>& options();

/// None when there is no such option.
const Option* find_option(std::string_view name);

/// The option of that name in that scope.
const Option* find_option(std::string_view name, Scope scope);

/// How the configuration calls that option.
std::string key_of(std::string_view name);

/// The rows of the page on options.
std::string markdown_table();

}  // namespace instancer::daemon
