// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

namespace instancer {

/// Compares secrets. All bytes are looked at, so that the time says nothing about the contents.
inline bool equal_secrets(std::string_view a, std::string_view b) noexcept
{
    volatile unsigned char difference = a.size() == b.size() ? 0 : 1;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i)
        difference = difference | static_cast<unsigned char>(a[i] ^ b[i]);
    return difference == 0;
}

}  // namespace instancer
