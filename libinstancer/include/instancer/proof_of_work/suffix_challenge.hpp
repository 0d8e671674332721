// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/detail/crypto/sha256.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// A proof of work by hashing: a suffix with which SHA-256 ends in zero bits, as hxp's ctf-ynetd asks for it.
class SuffixChallenge {
public:
    /// The challenge begins with as many random bytes.
    static constexpr std::size_t prefix_size = 8;
    /// A suffix has at most as many bytes.
    static constexpr std::size_t max_suffix = 8;

    /// `bits` zero bits, at most 256, behind `prefix`.
    SuffixChallenge(unsigned bits, std::string prefix) : bits_(bits), prefix_(std::move(prefix)) {}

    /// Reads `text()`, or a line that holds it.
    static std::optional<SuffixChallenge> parse(std::string_view text)
    {
        const auto prefix = from_hex(between(text, before_prefix, before_bits));
        const auto digits = between(text, before_bits, behind_bits);
        unsigned bits = 0;
        const auto end = digits.data() + digits.size();
        const auto [rest, error] = std::from_chars(digits.data(), end, bits);
        if (!prefix || prefix->size() != prefix_size || error != std::errc() || rest != end || bits > 64)
            return std::nullopt;
        return SuffixChallenge(bits, *prefix);
    }

    /// The line that asks for it, without an end of line.
    std::string text() const
    {
        return std::string(before_prefix) + to_hex(prefix_) + std::string(before_bits) + std::to_string(bits_) +
               std::string(behind_bits) + " (see pow-solver.cpp).";
    }

    /// Whether `suffix`, in hexadecimal digits, is right.
    ///
    /// Time: one hash.
    bool verify(std::string_view suffix) const
    {
        const auto bytes = from_hex(suffix);
        return bytes && bytes->size() <= max_suffix && trailing_zeros(prefix_ + *bytes) >= bits_;
    }

    /// A suffix, in hexadecimal digits.
    ///
    /// Time: 2^bits hashes on average.
    std::string solve() const
    {
        for (std::uint64_t counter = 0;; ++counter) {
            std::string suffix(max_suffix, '\0');
            for (std::size_t i = 0; i < max_suffix; ++i)
                suffix[i] = static_cast<char>(counter >> (8 * (max_suffix - 1 - i)));
            if (trailing_zeros(prefix_ + suffix) >= bits_)
                return to_hex(suffix);
        }
    }

private:
    static constexpr std::string_view before_prefix = "please give S such that sha256(unhex(\"";
    static constexpr std::string_view before_bits = "\" + S)) ends with ";
    static constexpr std::string_view behind_bits = " zero bits";

    /// What stands in `text` between the two; empty where they do not.
    static std::string_view between(std::string_view text, std::string_view begin, std::string_view end)
    {
        const auto found = text.find(begin);
        if (found == text.npos)
            return {};
        text.remove_prefix(found + begin.size());
        const auto length = text.find(end);
        return length == text.npos ? std::string_view() : text.substr(0, length);
    }

    static unsigned trailing_zeros(std::string_view message)
    {
        detail::Sha256 hash;
        hash.update(message);
        const auto digest = hash.finish();
        unsigned zeros = 0;
        for (auto byte = digest.rbegin(); byte != digest.rend(); ++byte) {
            zeros += static_cast<unsigned>(std::countr_zero(*byte));
            if (*byte != 0)
                break;
        }
        return zeros;
    }

    unsigned bits_;
    std::string prefix_;
};

}  // namespace instancer
