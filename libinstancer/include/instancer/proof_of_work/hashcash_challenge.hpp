// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/detail/crypto/sha1.hpp>

namespace instancer {

/// A proof of work by hashing: a hashcash stamp of version 1 for a resource that was made up for this client.
///
/// Source: A. Back: Hashcash, a denial of service counter-measure (2002); hashcash(1).
class HashcashChallenge {
public:
    /// `bits` zero bits. The resource is random, holds neither colon nor blank, and is in lower case, as the tool makes
    /// it.
    HashcashChallenge(unsigned bits, std::string resource) : bits_(bits), resource_(std::move(resource)) {}

    /// The command that solves it, without an end of line.
    std::string text() const { return "hashcash -mb" + std::to_string(bits_) + " " + resource_; }

    /// Whether `stamp`, `1:BITS:DATE:RESOURCE:EXTENSION:RANDOM:COUNTER`, is right. Its date does not count: nobody
    /// could know the resource before.
    ///
    /// Time: one hash.
    bool verify(std::string_view stamp) const
    {
        return std::count(stamp.begin(), stamp.end(), ':') == 6 && field(stamp, 0) == "1" &&
               number(field(stamp, 1)) >= bits_ && field(stamp, 3) == resource_ && leading_zeros(stamp) >= bits_;
    }

private:
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
