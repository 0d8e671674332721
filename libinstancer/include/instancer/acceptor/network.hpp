// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

#include <asio/ip/address.hpp>

namespace instancer {

/// The addresses that begin with the same bits (a CIDR block), or a single one. IPv4-mapped IPv6 counts as IPv4.
class Network {
public:
    /// Of `address` the first `bits` count: at most 32 in IPv4, 128 in IPv6.
    Network(const asio::ip::address& address, unsigned bits) : v4_(address.is_v4()), bits_(bits)
    {
        if (v4_) {
            high_ = std::uint64_t{address.to_v4().to_uint()} << 32;
        } else {
            const auto bytes = address.to_v6().to_bytes();
            for (std::size_t i = 0; i < 8; ++i) {
                high_ = high_ << 8 | bytes[i];
                low_ = low_ << 8 | bytes[i + 8];
            }
            if (bits_ >= 96 && high_ == 0 && low_ >> 32 == 0xffff)
                *this = Network(address_v4(low_), bits_ - 96);
        }
        bits_ = std::min(bits_, width());
        cut();
    }

    /// One address alone.
    explicit Network(const asio::ip::address& address) : Network(address, 128) {}

    /// Whether it is a network of IPv4.
    bool is_v4() const noexcept { return v4_; }
    /// Leading bits that count.
    unsigned bits() const noexcept { return bits_; }

    /// How many bits an address of this family has.
    unsigned width() const noexcept { return v4_ ? 32 : 128; }

    /// The network around this one of which only the first `bits` count.
    Network widened(unsigned bits) const noexcept
    {
        Network wide = *this;
        wide.bits_ = std::min(bits, bits_);
        wide.cut();
        return wide;
    }

    /// The first of its addresses.
    asio::ip::address address() const
    {
        if (v4_)
            return address_v4(high_ >> 32);
        asio::ip::address_v6::bytes_type bytes;
        for (std::size_t i = 0; i < 8; ++i) {
            bytes[i] = static_cast<unsigned char>(high_ >> (56 - 8 * i));
            bytes[i + 8] = static_cast<unsigned char>(low_ >> (56 - 8 * i));
        }
        return asio::ip::address_v6(bytes);
    }

    /// `10.0.0.0/8`, or an address alone.
    std::string to_string() const
    {
        return address().to_string() + (bits_ == width() ? "" : "/" + std::to_string(bits_));
    }

    /// Some order, for containers.
    friend auto operator<=>(const Network&, const Network&) = default;

    /// For unordered containers.
    struct Hash {
        /// The hash of `network`.
        std::size_t operator()(const Network& network) const noexcept
        {
            const auto mixed = (network.high_ ^ std::rotl(network.low_, 29)) + network.bits_;
            return static_cast<std::size_t>((mixed ^ mixed >> 32) * 0x9e3779b97f4a7c15u >> 8);
        }
    };

private:
    static asio::ip::address address_v4(std::uint64_t bits)
    {
        return asio::ip::address_v4(static_cast<asio::ip::address_v4::uint_type>(bits));
    }

    void cut() noexcept
    {
        constexpr auto ones = ~std::uint64_t{0};
        high_ &= bits_ == 0 ? 0 : bits_ >= 64 ? ones : ones << (64 - bits_);
        low_ &= bits_ <= 64 ? 0 : bits_ >= 128 ? ones : ones << (128 - bits_);
    }

    bool v4_;
    unsigned bits_;
    std::uint64_t high_ = 0;  ///< The bits from the front; those of IPv4 are the first 32.
    std::uint64_t low_ = 0;
};

}  // namespace instancer
