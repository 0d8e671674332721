// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace instancer::detail {

/// An integer modulo p = 2^1279 - 1, always the least one that is not negative.
///
/// It is held in 21 limbs of 61 bits: a column of a square, 21 products of 122 bits, fits into 128 bits, so that
/// carries are taken once for each column and not once for each product. And 21 * 61 = 1281, so 2^1281 = 4 modulo p.
class Mersenne1279 {
public:
    /// 0.
    Mersenne1279() = default;

    /// Of big-endian bytes, leading zeros allowed; none when the number is not less than p.
    static std::optional<Mersenne1279> from_bytes(std::string_view bytes)
    {
        Mersenne1279 number;
        for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
            const auto byte = static_cast<unsigned char>(bytes[bytes.size() - 1 - bit / 8]);
            if ((byte >> bit % 8 & 1) == 0)
                continue;
            if (bit >= modulus_bits)
                return std::nullopt;
            number.limbs_[bit / limb_bits] |= std::uint64_t{1} << bit % limb_bits;
        }
        if (number.limbs_ == modulus)
            return std::nullopt;
        return number;
    }

    /// Big-endian, without leading zeros; 0 has no byte.
    std::string to_bytes() const
    {
        std::string bytes((modulus_bits + 7) / 8, '\0');
        for (std::size_t bit = 0; bit < modulus_bits; ++bit) {
            const auto value = limbs_[bit / limb_bits] >> bit % limb_bits & 1;
            auto& byte = bytes[bytes.size() - 1 - bit / 8];
            byte = static_cast<char>(static_cast<unsigned char>(byte) | value << bit % 8);
        }
        return bytes.erase(0, bytes.find_first_not_of('\0'));
    }

    /// Replaces it by its square.
    void square() noexcept { reduce(columns(std::make_index_sequence<2 * limb_count - 1>())); }

    /// Replaces it by a square root of itself or of its negative: squares 1277 times, because (p + 1) / 4 = 2^1277.
    void square_root() noexcept
    {
        for (std::size_t i = 0; i < modulus_bits - 2; ++i)
            square();
    }

    /// XOR 1. The largest number, p - 1, is even and would become p, which is 0.
    void flip_lowest_bit() noexcept
    {
        limbs_[0] ^= 1;
        if (limbs_ == modulus)
            limbs_ = {};
    }

    /// p less it.
    Mersenne1279 negated() const noexcept
    {
        Mersenne1279 result;
        if (limbs_ == zero)
            return result;
        for (std::size_t i = 0; i < limb_count; ++i)
            result.limbs_[i] = modulus[i] - limbs_[i];
        return result;
    }

    friend bool operator==(const Mersenne1279&, const Mersenne1279&) = default;

private:
    __extension__ using Wide = unsigned __int128;

    static constexpr std::size_t modulus_bits = 1279;
    static constexpr std::size_t limb_bits = 61;
    static constexpr std::size_t limb_count = 21;
    static constexpr std::size_t top_bits = modulus_bits - (limb_count - 1) * limb_bits;
    static constexpr std::uint64_t limb_mask = (std::uint64_t{1} << limb_bits) - 1;
    static constexpr std::uint64_t top_mask = (std::uint64_t{1} << top_bits) - 1;

    using Limbs = std::array<std::uint64_t, limb_count>;
    using Columns = std::array<Wide, 2 * limb_count - 1>;

    static constexpr Limbs zero{};
    static constexpr Limbs modulus = [] {
        Limbs all{};
        all.fill(limb_mask);
        all.back() = top_mask;
        return all;
    }();

    /// All products of limbs whose indices add up to `Column`; those of different limbs count twice.
    template <std::size_t Column, std::size_t... I>
    Wide column(std::index_sequence<I...>) const noexcept
    {
        constexpr std::size_t first = Column < limb_count ? 0 : Column - limb_count + 1;
        Wide sum = (Wide{0} + ... + (static_cast<Wide>(limbs_[first + I]) * limbs_[Column - first - I])) << 1;
        if constexpr (Column % 2 == 0)
            sum += static_cast<Wide>(limbs_[Column / 2]) * limbs_[Column / 2];
        return sum;
    }

    template <std::size_t... Column>
    Columns columns(std::index_sequence<Column...>) const noexcept
    {
        constexpr auto pairs = [](std::size_t index) {
            return (index < limb_count ? index + 1 : 2 * limb_count - 1 - index) / 2;
        };
        return {column<Column>(std::make_index_sequence<pairs(Column)>())...};
    }

    void reduce(const Columns& square) noexcept
    {
        std::array<std::uint64_t, 2 * limb_count> wide;
        Wide carry = 0;
        for (std::size_t i = 0; i < square.size(); ++i) {
            carry += square[i];
            wide[i] = static_cast<std::uint64_t>(carry) & limb_mask;
            carry >>= limb_bits;
        }
        wide.back() = static_cast<std::uint64_t>(carry);
        std::uint64_t small = 0;
        for (std::size_t i = 0; i < limb_count; ++i) {
            small += wide[i] + 4 * wide[i + limb_count];
            limbs_[i] = small & limb_mask;
            small >>= limb_bits;
        }
        // What is left above 2^1279 counts once more at the lower end.
        add((small << (limb_bits - top_bits)) + (limbs_.back() >> top_bits));
    }

    /// Adds a small number to what is below 2^1279 once its top limb has been cut.
    void add(std::uint64_t carry) noexcept
    {
        limbs_.back() &= top_mask;
        for (std::size_t i = 0; carry != 0; i = (i + 1) % limb_count) {
            const bool top = i + 1 == limb_count;
            carry += limbs_[i];
            limbs_[i] = carry & (top ? top_mask : limb_mask);
            carry >>= top ? top_bits : limb_bits;
        }
        if (limbs_ == modulus)
            limbs_ = {};
    }

    Limbs limbs_{};
};

}  // namespace instancer::detail
