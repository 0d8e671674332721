// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "authentication/owners.hpp"
#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

/// Reads tokens, one a line, as `auth` has them: with Auth::token 128 characters, or `hex:` and 256 digits; with
/// Auth::prompt what the client types. `#` starts a comment. The error names `file` and the line, and never holds any
/// part of a token.
Parsed<std::vector<std::string>> parse_tokens(std::string_view text, const std::string& file, Auth auth);

/// The hashes by which instances of `service` know who shows these tokens.
Owners owners_of(const std::string& service, const std::vector<std::string>& tokens);

/// Reads the file and parses it.
Parsed<std::vector<std::string>> load_tokens(const std::string& file, Auth auth);

/// What is right about the file and perhaps not meant; often nothing. It never holds any part of a token.
std::string remark_on_tokens(const std::string& file, Auth auth);

}  // namespace instancer::daemon
