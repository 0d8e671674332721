// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace instancer::detail {

/// How a WND message says how many more bytes of its session are welcome.
class WindowCredit {
public:
    static std::array<std::byte, 4> encode(std::uint32_t bytes) noexcept
    {
        return {static_cast<std::byte>(bytes >> 24), static_cast<std::byte>(bytes >> 16),
                static_cast<std::byte>(bytes >> 8), static_cast<std::byte>(bytes)};
    }

    /// Empty where the data is none.
    static std::optional<std::uint32_t> decode(std::span<const std::byte> data) noexcept
    {
        if (data.size() != 4)
            return std::nullopt;
        std::uint32_t bytes = 0;
        for (const auto byte : data)
            bytes = bytes << 8 | std::to_integer<std::uint32_t>(byte);
        return bytes;
    }
};

}  // namespace instancer::detail
