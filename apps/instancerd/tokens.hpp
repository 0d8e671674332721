// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <instancer/authenticator/token.hpp>

#include "values.hpp"

namespace instancer::daemon {

/// Reads tokens, one a line: 128 characters, or `hex:` and 256 digits; `#` starts a comment. The error names `file` and
/// the line, and never holds any part of a token.
Parsed<std::vector<Token>> parse_tokens(std::string_view text, const std::string& file);

/// Reads the file and parses it.
Parsed<std::vector<Token>> load_tokens(const std::string& file);

}  // namespace instancer::daemon
