// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <sys/random.h>

namespace instancer::detail {

/// SipHash-2-4 (Aumasson and Bernstein, 2012): without its key nobody can say which texts have equal or similar hashes.
class SipHash {
public:
    using is_transparent = void;
    using Key = std::array<std::uint8_t, 16>;

    /// With a key that nobody knows.
    SipHash() : SipHash(random_key()) {}
    explicit SipHash(const Key& key) : low_(load(key.data(), 8)), high_(load(key.data() + 8, 8)) {}

    std::size_t operator()(std::string_view text) const
    {
        State state{low_ ^ 0x736f6d6570736575, high_ ^ 0x646f72616e646f6d, low_ ^ 0x6c7967656e657261,
                    high_ ^ 0x7465646279746573};
        std::size_t at = 0;
        for (; text.size() - at >= 8; at += 8)
            absorb(state, load(text.data() + at, 8));
        absorb(state, load(text.data() + at, text.size() - at) | std::uint64_t{text.size()} << 56);
        state[2] ^= 0xff;
        for (int i = 0; i < 4; ++i)
            round(state);
        return state[0] ^ state[1] ^ state[2] ^ state[3];
    }

private:
    using State = std::array<std::uint64_t, 4>;

    static Key random_key()
    {
        Key key;
        while (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) {}
        return key;
    }

    /// Up to eight bytes as a number, the first one lowest.
    static std::uint64_t load(const void* bytes, std::size_t count) noexcept
    {
        std::array<std::uint8_t, 8> copy{};
        if (count != 0)
            std::memcpy(copy.data(), bytes, count);
        std::uint64_t value = 0;
        for (std::size_t i = copy.size(); i-- != 0;)
            value = value << 8 | copy[i];
        return value;
    }

    static void absorb(State& state, std::uint64_t word) noexcept
    {
        state[3] ^= word;
        round(state);
        round(state);
        state[0] ^= word;
    }

    static void round(State& v) noexcept
    {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = std::rotl(v[1], 13) ^ v[0];
        v[3] = std::rotl(v[3], 16) ^ v[2];
        v[0] = std::rotl(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = std::rotl(v[1], 17) ^ v[2];
        v[3] = std::rotl(v[3], 21) ^ v[0];
        v[2] = std::rotl(v[2], 32);
    }

    std::uint64_t low_, high_;
};

}  // namespace instancer::detail
