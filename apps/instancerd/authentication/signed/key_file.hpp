// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <instancer/authenticator/signing_key.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// What a file of a key holds: a public key in PEM, or a shared secret as `hex:` and digits or as text. The error names
/// `file`, and holds nothing of a key.
///
/// Public keys in other forms are refused: as shared secrets they would let everybody sign.
Parsed<SigningKey> parse_signing_key(std::string_view text, const std::string& file);

/// Reads and parses each file.
Parsed<std::vector<SigningKey>> load_signing_keys(const std::vector<std::string>& files);

}  // namespace instancer::daemon
