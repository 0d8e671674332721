// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <instancer/detail/crypto/sha256.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// HMAC-SHA-256 (RFC 2104, FIPS 180-4): only a holder of `key` can tell whether `message` is genuine.
/// The result has 64 lower-case hexadecimal digits.
inline std::string hmac_sha256(std::string_view key, std::string_view message)
{
    constexpr std::size_t block_size = 64;
    const auto hashed = [](std::string_view first, std::string_view second) {
        detail::Sha256 hash;
        hash.update(first);
        hash.update(second);
        const auto bytes = hash.finish();
        return std::string(bytes.begin(), bytes.end());
    };
    std::string padded(key.size() > block_size ? hashed(key, {}) : std::string(key));
    padded.resize(block_size, '\0');
    std::string inner = padded, outer = padded;
    for (std::size_t i = 0; i < block_size; ++i) {
        inner[i] = static_cast<char>(inner[i] ^ 0x36);
        outer[i] = static_cast<char>(outer[i] ^ 0x5c);
    }
    return to_hex(hashed(outer, hashed(inner, message)));
}

}  // namespace instancer
