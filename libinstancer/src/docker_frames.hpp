// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace instancer::detail::inline docker {

/// Takes apart the output of a container without a terminal, which comes in pieces of any size.
///
/// Source: Docker Engine API, "Attach to a container", stream format. Before each piece of output stand eight bytes: a
/// 1 for standard output or a 2 for standard error, three zeros, and its size as a big-endian number.
class FrameDecoder {
public:
    /// Calls `handle(is_stderr, piece)` for every piece of output in `bytes`, in order; a piece lies in `bytes`.
    template <class Byte, class Handle>
    void feed(std::span<Byte> bytes, Handle&& handle)
    {
        while (!bytes.empty()) {
            if (payload_left_ == 0) {
                header_[header_used_++] = std::to_integer<std::uint8_t>(bytes.front());
                bytes = bytes.subspan(1);
                if (header_used_ == header_.size()) {
                    header_used_ = 0;
                    for (std::size_t i = 4; i < header_.size(); ++i)
                        payload_left_ = payload_left_ << 8 | header_[i];
                }
                continue;
            }
            const auto piece = bytes.first(std::min<std::size_t>(bytes.size(), payload_left_));
            bytes = bytes.subspan(piece.size());
            payload_left_ -= static_cast<std::uint32_t>(piece.size());
            handle(header_[0] == 2, piece);
        }
    }

private:
    std::array<std::uint8_t, 8> header_{};
    std::size_t header_used_ = 0;
    std::uint32_t payload_left_ = 0;
};

}  // namespace instancer::detail::inline docker
