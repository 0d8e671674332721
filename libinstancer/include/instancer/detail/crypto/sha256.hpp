// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <instancer/detail/crypto/sha_blocks.hpp>

namespace instancer::detail {

/// SHA-256 as in FIPS 180-4. Here, and not from a library, because the headers need Asio and tl::expected alone.
class Sha256 : public ShaBlocks<Sha256, 8> {
public:
    Sha256() : ShaBlocks(initial_state()) {}

    /// Length first, then the data: a sequence of these is unambiguous.
    void update_sized(std::string_view data)
    {
        char size[8];
        for (int i = 0; i < 8; ++i)
            size[i] = static_cast<char>(static_cast<std::uint64_t>(data.size()) >> (56 - 8 * i));
        update({size, sizeof size});
        update(data);
    }

private:
    friend ShaBlocks;

    /// The first 32 bits of the fractional part of `root(n)`, found by bisection in integers:
    /// the standard defines its constants as square roots (power 2) and cube roots (power 3) of primes.
    static constexpr std::uint32_t fraction_of_root(unsigned n, int power)
    {
        __extension__ typedef unsigned __int128 Wide;
        // Largest x with x^power <= n * 2^(32*power); x then holds the root with 32 fractional bits.
        // n < 2^9, so the cube needs 9 + 96 bits and fits.
        const Wide target = static_cast<Wide>(n) << (32 * power);
        std::uint64_t low = 0, high = std::uint64_t{1} << 37;
        while (high - low > 1) {
            const std::uint64_t middle = low + (high - low) / 2;
            Wide value = static_cast<Wide>(middle) * middle;
            const bool above = power == 2 ? value > target : value > target / middle;
            (above ? high : low) = middle;
        }
        return static_cast<std::uint32_t>(low);
    }

    template <std::size_t N>
    static constexpr std::array<std::uint32_t, N> fractions(int power)
    {
        std::array<std::uint32_t, N> out{};
        std::size_t count = 0;
        for (unsigned n = 2; count < N; ++n) {
            bool prime = true;
            for (unsigned d = 2; d * d <= n; ++d)
                prime = prime && n % d != 0;
            if (prime)
                out[count++] = fraction_of_root(n, power);
        }
        return out;
    }

    void compress()
    {
        static constexpr auto k = fractions<64>(3);
        std::array<std::uint32_t, 64> w;
        for (std::size_t i = 0; i < 16; ++i)
            w[i] = word(i);
        for (std::size_t i = 16; i < 64; ++i) {
            const auto s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
            const auto s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        auto [a, b, c, d, e, f, g, h] = state_;
        for (std::size_t i = 0; i < 64; ++i) {
            const auto t1 =
                h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + k[i] + w[i];
            const auto t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        add({a, b, c, d, e, f, g, h});
    }

    static const State& initial_state()
    {
        static constexpr auto values = fractions<8>(2);
        return values;
    }
};

}  // namespace instancer::detail
