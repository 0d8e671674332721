// SPDX-License-Identifier: MIT
// The greeting of 130 bytes: in whatever segments it comes it is the same, and nothing beyond it is read.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include <instancer/authenticator/token_greeting.hpp>

#include "require.hpp"

using instancer::Token;
using instancer::TokenGreeting;

namespace {

/// Reads as from a connection where segments of the sizes in `cuts` arrive, one after the other.
void check(std::string_view data, std::string_view cuts)
{
    TokenGreeting greeting;
    std::size_t taken = 0;
    for (std::size_t turn = 0; !greeting.is_complete() && taken < data.size(); ++turn) {
        const auto segment = data.substr(taken, 1 + static_cast<unsigned char>(cuts[turn % cuts.size()]));
        const auto room = greeting.missing();
        REQUIRE(room.size() == TokenGreeting::size - taken);
        const auto count = std::min(segment.size(), room.size());
        std::memcpy(room.data(), segment.data(), count);
        greeting.add(count);
        taken += count;
        REQUIRE(greeting.received() == taken);
    }
    REQUIRE(taken == std::min(data.size(), TokenGreeting::size));
    REQUIRE(greeting.is_complete() == (data.size() >= TokenGreeting::size));
    if (!greeting.is_complete())
        return;
    REQUIRE(greeting.token() == data.substr(0, Token::size));
    REQUIRE(greeting.identifier() == data.substr(Token::size, TokenGreeting::identifier_size));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    // The first bytes say how the rest is cut.
    if (size < 4)
        return 0;
    const std::string_view data(reinterpret_cast<const char*>(bytes), size);
    check(data.substr(4), data.substr(0, 4));
    return 0;
}
