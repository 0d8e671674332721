// SPDX-License-Identifier: MIT
// What a client of the relay says first: however it is cut, the same comes out.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <instancer/relay/relay_handshake.hpp>

#include "require.hpp"

using instancer::RelayHandshake;
using State = RelayHandshake::State;

namespace {

const std::string secret = "hi";

std::string describe(RelayHandshake& handshake, std::size_t taken)
{
    auto text = std::to_string(static_cast<int>(handshake.state())) + " " + std::to_string(taken);
    handshake.pause();
    return text + " " + std::to_string(static_cast<int>(handshake.state())) + " " + std::to_string(handshake.channel());
}

template <class NextSize>
std::string in_pieces(std::string_view data, std::uint32_t most, NextSize next_size)
{
    RelayHandshake handshake(secret, most);
    std::size_t taken = 0;
    while (!handshake.is_over() && taken < data.size()) {
        const auto piece = data.substr(taken, next_size(handshake));
        const auto used = handshake.feed(piece);
        REQUIRE(used == piece.size() || handshake.is_over());
        taken += used;
    }
    return describe(handshake, taken);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string_view data(reinterpret_cast<const char*>(bytes) + 1, size - 1);
    const std::uint32_t most = 0xffffffffu >> (bytes[0] % 32);
    RelayHandshake handshake(secret, most);
    const auto taken = handshake.feed(data);
    REQUIRE(taken <= secret.size() + RelayHandshake::digits(most));
    if (handshake.state() == State::complete) {
        REQUIRE(data.substr(0, secret.size()) == secret);
        REQUIRE(handshake.channel() <= most);
    }
    const auto whole = describe(handshake, taken);
    REQUIRE(in_pieces(data, most, [](const auto&) { return 1; }) == whole);
    std::size_t turn = 0;
    REQUIRE(in_pieces(data, most, [&](const auto&) { return 1 + bytes[++turn % size] % 3; }) == whole);
    REQUIRE(in_pieces(data, most, [](const auto& reader) {
                REQUIRE(reader.wanted() > 0);
                return reader.wanted();
            }) == whole);
    return 0;
}
