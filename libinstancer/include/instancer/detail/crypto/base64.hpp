// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace instancer::detail {

inline constexpr std::string_view base64_digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The standard alphabet, with padding (RFC 4648, section 4).
inline std::string base64_encode(std::string_view bytes)
{
    std::string text;
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const auto piece = bytes.substr(at, 3);
        std::uint32_t group = 0;
        for (std::size_t i = 0; i < 3; ++i)
            group = group << 8 | (i < piece.size() ? static_cast<unsigned char>(piece[i]) : 0u);
        for (std::size_t i = 0; i < 4; ++i)
            text += i <= piece.size() ? base64_digits[group >> (18 - 6 * i) & 63] : '=';
    }
    return text;
}

/// The bytes, or none when `text` is not exactly what `base64_encode` writes for some bytes.
inline std::optional<std::string> base64_decode(std::string_view text)
{
    const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
    if (text.size() % 4 != 0)
        return std::nullopt;
    std::string bytes;
    std::uint32_t group = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool padded = i >= text.size() - padding;
        const auto digit = padded ? 0 : base64_digits.find(text[i]);
        if (digit == std::string_view::npos)
            return std::nullopt;
        group = group << 6 | static_cast<std::uint32_t>(digit);
        if (i % 4 != 3)
            continue;
        for (const unsigned shift : {16u, 8u, 0u})
            bytes += static_cast<char>(group >> shift & 255);
        group = 0;
    }
    bytes.resize(bytes.size() - padding);
    // Bits that no byte takes must be 0, or two texts would mean the same.
    return base64_encode(bytes) == text ? std::optional(bytes) : std::nullopt;
}

/// The alphabet that is safe in URLs, without padding (RFC 4648, section 5). None when `text` is not exactly that.
inline std::optional<std::string> base64url_decode(std::string_view text)
{
    if (text.find_first_of("+/=") != text.npos)
        return std::nullopt;
    std::string standard(text);
    std::replace(standard.begin(), standard.end(), '-', '+');
    std::replace(standard.begin(), standard.end(), '_', '/');
    standard.append((4 - standard.size() % 4) % 4, '=');
    return base64_decode(standard);
}

}  // namespace instancer::detail
