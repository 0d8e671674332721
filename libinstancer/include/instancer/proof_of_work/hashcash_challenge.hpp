// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/detail/crypto/sha1.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// A proof of work by hashing: a hashcash stamp of version 1 for a resource that was made up for this client.
///
/// Source: A. Back: Hashcash, a denial of service counter-measure (2002); hashcash(1).
class HashcashChallenge {
public:
    /// `bits` zero bits. The resource is random, holds neither colon nor blank, and is in lower case, as the tool makes
    /// it.
    HashcashChallenge(unsigned bits, std::string resource) : bits_(bits), resource_(std::move(resource)) {}

    /// Reads `text()`.
    static std::optional<HashcashChallenge> parse(std::string_view text)
    {
        if (!text.starts_with(command))
            return std::nullopt;
        text.remove_prefix(command.size());
        const auto blank = text.find(' ');
        const auto bits = number(text.substr(0, blank));
        const auto resource = blank == text.npos ? std::string_view() : text.substr(blank + 1);
        if (bits == 0 || bits > 64 || resource.empty() || resource.find_first_of(": \t\r\n") != resource.npos)
            return std::nullopt;
        return HashcashChallenge(bits, std::string(resource));
    }

    /// The command that solves it, without an end of line.
    std::string text() const { return std::string(command) + std::to_string(bits_) + " " + resource_; }

    /// Whether `stamp`, `1:BITS:DATE:RESOURCE:EXTENSION:RANDOM:COUNTER`, is right. Its date does not count: nobody
    /// could know the resource before.
    ///
    /// Time: one hash.
    bool verify(std::string_view stamp) const
    {
        return std::count(stamp.begin(), stamp.end(), ':') == 6 && field(stamp, 0) == "1" &&
               number(field(stamp, 1)) >= bits_ && field(stamp, 3) == resource_ && leading_zeros(stamp) >= bits_;
    }

    /// A stamp, of a date that `verify` does not look at.
    ///
    /// Time: 2^bits hashes on average.
    std::string solve() const
    {
        const auto start =
            "1:" + std::to_string(bits_) + ":700101:" + resource_ + "::" + to_hex(detail::random_bytes(8)) + ":";
        for (std::uint64_t counter = 0;; ++counter)
            if (auto stamp = start + std::to_string(counter); leading_zeros(stamp) >= bits_)
                return stamp;
    }

private:
    static constexpr std::string_view command = "hashcash -mb";

    static std::string_view field(std::string_view stamp, int index)
    {
        for (; index != 0; --index)
            stamp.remove_prefix(stamp.find(':') + 1);
        return stamp.substr(0, stamp.find(':'));
    }

    static unsigned number(std::string_view digits)
    {
        unsigned value = 0;
        const auto end = digits.data() + digits.size();
        const auto [rest, error] = std::from_chars(digits.data(), end, value);
        return error == std::errc() && rest == end ? value : 0;
    }

    static unsigned leading_zeros(std::string_view stamp)
    {
        detail::Sha1 hash;
        hash.update(stamp);
        unsigned zeros = 0;
        for (const auto byte : hash.finish()) {
            zeros += static_cast<unsigned>(std::countl_zero(byte));
            if (byte != 0)
                break;
        }
        return zeros;
    }

    unsigned bits_;
    std::string resource_;
};

}  // namespace instancer
