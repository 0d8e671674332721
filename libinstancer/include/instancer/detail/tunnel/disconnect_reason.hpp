// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string_view>

namespace instancer::detail {

/// How the data of a DIS message reads: empty, an address, some text, or the name of an error in front of it.
///
/// True when it says that the session did not end in order.
inline bool is_reset_reason(std::string_view reason) noexcept
{
    const auto is_name = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
    const auto word = reason.substr(0, reason.find(' '));
    return (word.size() > 3 && word[0] == 'E' && std::all_of(word.begin(), word.end(), is_name)) ||
           reason == "disconnected by system";
}

}  // namespace instancer::detail
