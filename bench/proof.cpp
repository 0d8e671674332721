// SPDX-License-Identifier: MIT
// Verifying a proof of work: squarings modulo 2^1279 - 1, against products of whole words.
#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <string>

#include <instancer/proof_of_work/sloth_challenge.hpp>

#include "works.hpp"

namespace bench {

namespace {

/// As one writes it down first: 20 limbs of 64 bits, whose carries are taken for each product.
class PlainNumber {
public:
    explicit PlainNumber(const std::string& bytes)
    {
        for (std::size_t i = 0; i < bytes.size(); ++i)
            limbs_[i / 8] |= std::uint64_t{static_cast<unsigned char>(bytes[bytes.size() - 1 - i])} << i % 8 * 8;
    }

    void square() noexcept
    {
        std::array<std::uint64_t, 2 * size> wide{};
        for (std::size_t i = 0; i < size; ++i) {
            Wide carry = 0;
            for (std::size_t j = 0; j < size; ++j) {
                carry += static_cast<Wide>(limbs_[i]) * limbs_[j] + wide[i + j];
                wide[i + j] = static_cast<std::uint64_t>(carry);
                carry >>= 64;
            }
            wide[i + size] = static_cast<std::uint64_t>(carry);
        }
        reduce(wide);
    }

    void flip_lowest_bit() noexcept { limbs_[0] ^= 1; }

    std::string to_bytes() const
    {
        std::string bytes(8 * size, '\0');
        for (std::size_t i = 0; i < bytes.size(); ++i)
            bytes[bytes.size() - 1 - i] = static_cast<char>(limbs_[i / 8] >> i % 8 * 8);
        return bytes.erase(0, bytes.find_first_not_of('\0'));
    }

private:
    __extension__ using Wide = unsigned __int128;

    static constexpr std::size_t size = 20;
    static constexpr std::uint64_t top_mask = (std::uint64_t{1} << 63) - 1;

    /// What is above 2^1279 counts once more at the lower end.
    void reduce(const std::array<std::uint64_t, 2 * size>& wide) noexcept
    {
        Wide carry = 0;
        for (std::size_t i = 0; i < size; ++i) {
            const auto above = wide[i + size] << 1 | wide[i + size - 1] >> 63;
            carry += static_cast<Wide>(above) + (i + 1 == size ? wide[i] & top_mask : wide[i]);
            limbs_[i] = static_cast<std::uint64_t>(carry);
            carry >>= 64;
        }
        std::uint64_t left = static_cast<std::uint64_t>(carry) << 1 | limbs_.back() >> 63;
        limbs_.back() &= top_mask;
        for (std::size_t i = 0; left != 0 && i < size; ++i) {
            limbs_[i] += left;
            left = limbs_[i] < left ? 1 : 0;
        }
    }

    std::array<std::uint64_t, size> limbs_{};
};

constexpr int squarings = 15'000;

template <class Work>
double milliseconds_of(Work work)
{
    const auto begin = std::clock();
    work();
    return 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
}

}  // namespace

Outcome proof(int rounds)
{
    Table table("Verifying a proof of work of 11 s: 15,000 squarings of 1,279 bits", "ms", false);
    for (int round = 0; round < rounds; ++round) {
        PlainNumber number("instancer-vector");
        table.add("64-bit limbs", milliseconds_of([&] {
                      for (int i = 0; i < squarings; ++i) {
                          number.flip_lowest_bit();
                          number.square();
                      }
                  }));
        // What came out is a challenge that the number at the beginning solves.
        const auto challenge = instancer::SlothChallenge::from_start(squarings, number.to_bytes());
        bool right = false;
        table.add("61-bit limbs",
                  milliseconds_of([&] { right = challenge && challenge->verify("s.aW5zdGFuY2VyLXZlY3Rvcg=="); }));
        if (!right)
            throw std::runtime_error("the two squares differ");
    }
    return {std::move(table), "64-bit limbs"};
}

}  // namespace bench
