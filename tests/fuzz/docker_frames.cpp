// SPDX-License-Identifier: MIT
// Output of a container, in frames: however it is cut, the same comes out, and nothing is lost, made up or moved.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "docker_frames.hpp"
#include "require.hpp"

using instancer::detail::FrameDecoder;

namespace {

/// What there is on each of the two streams.
struct Output {
    std::string out, err;

    friend bool operator==(const Output&, const Output&) = default;
};

template <class NextSize>
Output in_pieces(std::span<const std::byte> data, NextSize next_size)
{
    FrameDecoder decoder;
    Output output;
    while (!data.empty()) {
        const auto part = data.first(std::min<std::size_t>(data.size(), next_size()));
        data = data.subspan(part.size());
        decoder.feed(part, [&](bool is_stderr, std::span<const std::byte> piece) {
            REQUIRE(!piece.empty());
            REQUIRE(piece.data() >= part.data());
            REQUIRE(piece.data() + piece.size() <= part.data() + part.size());
            (is_stderr ? output.err : output.out).append(reinterpret_cast<const char*>(piece.data()), piece.size());
        });
    }
    return output;
}

/// The same, as the format is described.
Output by_the_book(std::span<const std::byte> data)
{
    Output output;
    while (data.size() > 8) {
        std::size_t size = 0;
        for (const auto byte : data.subspan(4, 4))
            size = size << 8 | std::to_integer<std::size_t>(byte);
        auto& stream = data[0] == std::byte{2} ? output.err : output.out;
        data = data.subspan(8);
        const auto payload = data.first(std::min(size, data.size()));
        stream.append(reinterpret_cast<const char*>(payload.data()), payload.size());
        data = data.subspan(payload.size());
    }
    return output;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const auto data = std::as_bytes(std::span(bytes, size));
    const auto expected = by_the_book(data);
    REQUIRE(in_pieces(data, [&] { return size; }) == expected);
    REQUIRE(in_pieces(data, [] { return std::size_t{1}; }) == expected);
    std::size_t turn = 0;
    REQUIRE(in_pieces(data, [&] { return std::size_t{1} + bytes[++turn % size] % 13; }) == expected);
    return 0;
}
