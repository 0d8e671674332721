// SPDX-License-Identifier: MIT
#include <map>
#include <random>
#include <unordered_map>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/detail/pool/digest_index.hpp>

using instancer::Digest;
using instancer::detail::DigestIndex;
using instancer::detail::no_index;

namespace {

/// Few different values in the bytes that place a digest, so that many meet in one place.
Digest crowded(unsigned number)
{
    std::array<std::uint8_t, Digest::size> bytes{};
    bytes[0] = static_cast<std::uint8_t>(number % 5);
    bytes[1] = static_cast<std::uint8_t>(number % 3);
    for (std::size_t i = 0; i < 4; ++i)
        bytes[12 + i] = static_cast<std::uint8_t>(number >> 8 * i);
    return Digest(bytes);
}

/// At random, but the same each time; `at_the_end` in the last place of a table of any size.
Digest spread(unsigned number)
{
    std::mt19937 random(number);
    std::array<std::uint8_t, Digest::size> bytes;
    for (auto& byte : bytes)
        byte = static_cast<std::uint8_t>(random());
    if (number % 4 == 0)
        bytes[0] = bytes[1] = bytes[2] = bytes[3] = 0xff;
    return Digest(bytes);
}

void compare_with_map(Digest (*digest_of_number)(unsigned), unsigned seed, int steps)
{
    constexpr unsigned numbers = 400;
    std::mt19937 random(seed);
    std::vector<Digest> records;
    for (unsigned number = 0; number < numbers; ++number)
        records.push_back(digest_of_number(number));
    const auto digest_of = [&](std::uint32_t index) -> const Digest& { return records[index]; };

    DigestIndex index;
    std::unordered_map<unsigned, bool> model;
    for (int step = 0; step < steps; ++step) {
        const auto number = static_cast<unsigned>(random() % numbers);
        if (!model[number])
            index.insert(records[number], number);
        else
            index.erase(records[number], number);
        model[number] = !model[number];
        if (step % 16 != 0)
            continue;
        std::size_t count = 0;
        for (unsigned at = 0; at < numbers; ++at) {
            count += model[at] ? 1 : 0;
            REQUIRE(index.find(records[at], digest_of) == (model[at] ? at : no_index));
        }
        REQUIRE(index.size() == count);
    }
}

}  // namespace

TEST_CASE("digest index: finds what a map finds, when many digests share a place")
{
    compare_with_map(crowded, 1, 8000);
}

TEST_CASE("digest index: finds what a map finds, with digests at random")
{
    for (unsigned seed = 1; seed <= 4; ++seed)
        compare_with_map(spread, seed, 8000);
}

TEST_CASE("digest index: finds nothing in an empty index, before and after")
{
    const auto digest = spread(1);
    const auto digest_of = [&](std::uint32_t) -> const Digest& { return digest; };
    DigestIndex index;
    CHECK(index.find(digest, digest_of) == no_index);
    index.insert(digest, 7);
    CHECK(index.find(digest, digest_of) == 7);
    index.erase(digest, 7);
    CHECK(index.find(digest, digest_of) == no_index);
    CHECK(index.size() == 0);
}
