// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include <instancer/detail/crypto/sha_blocks.hpp>

namespace instancer::detail {

/// SHA-1 as in FIPS 180-4, for hashcash stamps alone: it resists no forger any more.
class Sha1 : public ShaBlocks<Sha1, 5> {
public:
    Sha1() : ShaBlocks({0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}) {}

private:
    friend ShaBlocks;

    void compress()
    {
        std::array<std::uint32_t, 80> w;
        for (std::size_t i = 0; i < 16; ++i)
            w[i] = word(i);
        for (std::size_t i = 16; i < w.size(); ++i)
            w[i] = std::rotl(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        // No structured binding: a lambda of clang 14 cannot see one.
        auto a = state_[0], b = state_[1], c = state_[2], d = state_[3], e = state_[4];
        const auto round = [&](std::uint32_t mixed, std::uint32_t constant, std::uint32_t next) {
            const auto sum = std::rotl(a, 5) + mixed + e + constant + next;
            e = d, d = c, c = std::rotl(b, 30), b = a, a = sum;
        };
        for (std::size_t i = 0; i < 20; ++i)
            round((b & c) | (~b & d), 0x5a827999, w[i]);
        for (std::size_t i = 20; i < 40; ++i)
            round(b ^ c ^ d, 0x6ed9eba1, w[i]);
        for (std::size_t i = 40; i < 60; ++i)
            round((b & c) | (b & d) | (c & d), 0x8f1bbcdc, w[i]);
        for (std::size_t i = 60; i < 80; ++i)
            round(b ^ c ^ d, 0xca62c1d6, w[i]);
        add({a, b, c, d, e});
    }
};

}  // namespace instancer::detail
