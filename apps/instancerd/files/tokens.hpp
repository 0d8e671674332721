// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "authentication/owners.hpp"
#include "config/settings.hpp"
#include "options/values.hpp"

namespace instancer::daemon {

/// A token, and what the operator calls its owner.
class ListedToken {
public:
    explicit ListedToken(std::string secret, std::string label = {})
        : secret_(std::move(secret)), label_(std::move(label))
    {
    }

    const std::string& secret() const noexcept { return secret_; }
    const std::string& label() const noexcept { return label_; }

    friend bool operator==(const ListedToken&, const ListedToken&) = default;

private:
    std::string secret_;
    std::string label_;
};

/// Reads tokens, one a line, as `auth` has them: with Auth::token 128 characters, or `hex:` and 256 digits; with
/// Auth::prompt what the client types. A label may follow behind a tab. `#` starts a comment. The error names `file`
/// and the line, and never holds any part of a token.
Parsed<std::vector<ListedToken>> parse_tokens(std::string_view text, const std::string& file, Auth auth);

/// The hashes by which instances of `service` know who shows these tokens, with their labels.
Owners owners_of(const std::string& service, const std::vector<ListedToken>& tokens);

/// Reads the file and parses it.
Parsed<std::vector<ListedToken>> load_tokens(const std::string& file, Auth auth);

/// What is right about the file and perhaps not meant; often nothing. It never holds any part of a token.
std::string remark_on_tokens(const std::string& file, Auth auth);

}  // namespace instancer::daemon
