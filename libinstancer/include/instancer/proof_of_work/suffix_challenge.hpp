// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
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

    /// The line that asks for it, without an end of line.
    std::string text() const
    {
        return "please give S such that sha256(unhex(\"" + to_hex(prefix_) + "\" + S)) ends with " +
               std::to_string(bits_) + " zero bits (see pow-solver.cpp).";
    }

    /// Whether `suffix`, in hexadecimal digits, is right.
    ///
    /// Time: one hash.
    bool verify(std::string_view suffix) const
    {
        const auto bytes = from_hex(suffix);
        return bytes && bytes->size() <= max_suffix && trailing_zeros(prefix_ + *bytes) >= bits_;
    }

private:
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
