// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/detail/crypto/base64.hpp>
#include <instancer/detail/crypto/mersenne_1279.hpp>

namespace instancer {

/// How a `SlothChallenge` writes its integers; it reads both.
enum class SlothEncoding {
    kctf,    ///< In threes of bytes, so that no text is padded. Solvers take it below a difficulty of 2^23.
    redpwn,  ///< The difficulty in four bytes, any other number in the fewest bytes.
};

/// A proof of work that takes its solver a time which more processors cannot shorten: square roots modulo 2^1279 - 1,
/// each of the one before ("sloth", the scheme `s` of kCTF and of redpwn's jail).
///
/// Source: A. K. Lenstra, B. Wesolowski: A random zoo: sloth, unicorn, and trx (2015); kCTF's pow.py.
class SlothChallenge {
public:
    /// Square roots that the solver of kCTF takes in a second.
    static constexpr std::uint32_t roots_per_second = 1337;
    /// A challenge begins with a random number of as many bytes.
    static constexpr std::size_t start_size = 16;

    /// `difficulty` square roots from the big-endian number `start` on; none when that is 0, which one of the encodings
    /// cannot write, or does not fit.
    static std::optional<SlothChallenge> from_start(std::uint32_t difficulty, std::string_view start)
    {
        const auto number = Number::from_bytes(start);
        if (!number || *number == Number())
            return std::nullopt;
        return SlothChallenge(difficulty, *number);
    }

    /// Reads `s.DIFFICULTY.START` in either encoding.
    static std::optional<SlothChallenge> parse(std::string_view text)
    {
        const auto dot = text.rfind('.');
        if (!text.starts_with("s.") || dot < 2)
            return std::nullopt;
        const auto difficulty = decoded(text.substr(2, dot - 2));
        const auto start = decoded(text.substr(dot + 1));
        if (!difficulty || !start)
            return std::nullopt;
        const auto bytes = difficulty->to_bytes();
        if (bytes.size() > sizeof(std::uint32_t) || *start == Number())
            return std::nullopt;
        std::uint32_t value = 0;
        for (const unsigned char byte : bytes)
            value = value << 8 | byte;
        return SlothChallenge(value, *start);
    }

    /// `s.DIFFICULTY.START`
    std::string text(SlothEncoding encoding) const
    {
        std::string difficulty;
        for (int shift = 24; shift >= 0; shift -= 8)
            difficulty += static_cast<char>(difficulty_ >> shift & 255);
        if (encoding == SlothEncoding::kctf)
            return "s." + in_threes(difficulty) + "." + in_threes(start_.to_bytes());
        return "s." + detail::base64_encode(difficulty) + "." + detail::base64_encode(start_.to_bytes());
    }

    /// Square roots to take.
    std::uint32_t difficulty() const noexcept { return difficulty_; }

    /// Whether `solution`, `s.NUMBER`, is right.
    ///
    /// Time: a squaring of 1,279 bits for each root, some 0.2 microseconds: call it on a helper thread. Each challenge
    /// has two solutions, so remember the challenge and not the solution to keep a client from coming twice.
    bool verify(std::string_view solution) const
    {
        if (!solution.starts_with("s."))
            return false;
        auto number = decoded(solution.substr(2));
        if (!number)
            return false;
        for (std::uint32_t i = 0; i < difficulty_; ++i) {
            number->flip_lowest_bit();
            number->square();
        }
        return *number == start_ || *number == start_.negated();
    }

    /// The solution, `s.NUMBER`.
    ///
    /// Time: 1277 squarings of 1,279 bits for each root, one after the other.
    std::string solve() const
    {
        Number number = start_;
        for (std::uint32_t i = 0; i < difficulty_; ++i) {
            number.square_root();
            number.flip_lowest_bit();
        }
        return "s." + detail::base64_encode(number.to_bytes());
    }

private:
    using Number = detail::Mersenne1279;

    SlothChallenge(std::uint32_t difficulty, Number start) : difficulty_(difficulty), start_(start) {}

    /// Of big-endian bytes. As kCTF counts, a number whose length in bits is a multiple of 24 takes three bytes more.
    static std::string in_threes(std::string bytes)
    {
        bytes.erase(0, bytes.find_first_not_of('\0'));
        const auto bits =
            bytes.empty() ? 0 : 8 * (bytes.size() - 1) + std::bit_width(static_cast<unsigned char>(bytes.front()));
        const std::size_t size = bits / 24 * 3 + 3;
        return detail::base64_encode(std::string(size - bytes.size(), '\0') + bytes);
    }

    static std::optional<Number> decoded(std::string_view text)
    {
        const auto bytes = detail::base64_decode(text);
        return bytes && !bytes->empty() ? Number::from_bytes(*bytes) : std::nullopt;
    }

    std::uint32_t difficulty_;
    Number start_;
};

}  // namespace instancer
