// SPDX-License-Identifier: MIT
// How many more bytes are welcome, as a message carries it.
#include <array>
#include <cstddef>
#include <span>

#include <doctest/doctest.h>

#include <instancer/detail/tunnel/window_credit.hpp>

using instancer::detail::WindowCredit;

TEST_CASE("window credit: four bytes, the highest first; anything else is none")
{
    const std::array<std::byte, 4> bytes{std::byte{0x01}, std::byte{0x80}, std::byte{0xfe}, std::byte{0xff}};
    CHECK(WindowCredit::encode(0x0180feff) == bytes);
    CHECK(WindowCredit::decode(bytes) == 0x0180feffu);
    CHECK(WindowCredit::decode(WindowCredit::encode(0xffffffff)) == 0xffffffffu);
    CHECK(!WindowCredit::decode({}));
    CHECK(!WindowCredit::decode(std::span(bytes).first(3)));
    CHECK(!WindowCredit::decode(std::array<std::byte, 5>{}));
}
