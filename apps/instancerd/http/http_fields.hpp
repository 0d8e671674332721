// SPDX-License-Identifier: MIT
// The words of HTTP's heads, without I/O.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>

namespace instancer::daemon {

/// What `number_of` makes of a number that is too large.
inline constexpr std::size_t beyond_range = std::numeric_limits<std::size_t>::max();

/// None where `text` is no number; a number that is too large is `beyond_range`.
inline std::optional<std::size_t> number_of(std::string_view text, int base)
{
    std::size_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (end != text.data() + text.size() || error == std::errc::invalid_argument)
        return std::nullopt;
    return error == std::errc::result_out_of_range ? beyond_range : value;
}

inline std::string_view without_blanks(std::string_view text)
{
    constexpr std::string_view blanks = " \t";
    const auto begin = std::min(text.find_first_not_of(blanks), text.size());
    return text.substr(begin, text.find_last_not_of(blanks) + 1 - begin);
}

/// Whether both are the same word, in capitals or not.
inline bool same_word(std::string_view one, std::string_view other)
{
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [lower](char a, char b) { return lower(a) == lower(b); });
}

inline bool is_field_name(std::string_view name)
{
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

}  // namespace instancer::daemon
