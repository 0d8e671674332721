// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>

#include <instancer/stream.hpp>

namespace instancer {

/// Ends the stream in order, as far as the system lets us: bytes that nobody read would make a reset of it.
inline void lingering_close(Stream& stream)
{
    if (!stream)
        return;
    static_cast<void>(stream.shutdown_send());
    std::array<std::byte, 4096> unread;
    for (int reads = 0; reads < 16; ++reads)
        if (stream.try_read(unread).value_or(0) == 0)
            break;
    stream.close();
}

}  // namespace instancer
