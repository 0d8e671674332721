// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace instancer::detail {

/// What SHA-1 and SHA-256 share: blocks of 64 bytes, padding, and a state of 32-bit words (FIPS 180-4). `Hash` has
/// `compress`, which takes one block into `state_`.
template <class Hash, std::size_t Words>
class ShaBlocks {
public:
    void update(std::string_view data)
    {
        for (const char c : data) {
            block_[used_++] = static_cast<std::uint8_t>(c);
            if (used_ == block_.size()) {
                static_cast<Hash*>(this)->compress();
                used_ = 0;
            }
        }
        length_ += data.size();
    }

    std::array<std::uint8_t, 4 * Words> finish()
    {
        const std::uint64_t bits = length_ * 8;
        update(std::string_view("\x80", 1));
        while (used_ != 56)
            update(std::string_view("\0", 1));
        char size[8];
        for (int i = 0; i < 8; ++i)
            size[i] = static_cast<char>(bits >> (56 - 8 * i));
        update({size, sizeof size});
        std::array<std::uint8_t, 4 * Words> out;
        for (std::size_t i = 0; i < out.size(); ++i)
            out[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
        return out;
    }

protected:
    using State = std::array<std::uint32_t, Words>;

    explicit ShaBlocks(const State& initial) : state_(initial) {}

    /// The `index`th of the 16 words of the block.
    std::uint32_t word(std::size_t index) const noexcept
    {
        return static_cast<std::uint32_t>(block_[4 * index]) << 24 |
               static_cast<std::uint32_t>(block_[4 * index + 1]) << 16 |
               static_cast<std::uint32_t>(block_[4 * index + 2]) << 8 | block_[4 * index + 3];
    }

    void add(const State& words) noexcept
    {
        for (std::size_t i = 0; i < Words; ++i)
            state_[i] += words[i];
    }

    State state_;

private:
    std::array<std::uint8_t, 64> block_{};
    std::size_t used_ = 0;
    std::uint64_t length_ = 0;
};

}  // namespace instancer::detail
