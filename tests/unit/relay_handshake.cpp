// SPDX-License-Identifier: MIT
// The relay's handshake, without any I/O.
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/relay/relay_handshake.hpp>

using instancer::RelayHandshake;
using State = RelayHandshake::State;

namespace {

/// What comes of `pieces`, and the bytes that are left over.
std::string outcome(const std::vector<std::string>& pieces, bool then_pause = false, const std::string& secret = "hi",
                    std::uint32_t most = 65535)
{
    RelayHandshake handshake(secret, most);
    std::string rest;
    for (const auto& piece : pieces)
        rest += piece.substr(handshake.feed(piece));
    if (then_pause)
        handshake.pause();
    switch (handshake.state()) {
    case State::authentication: return "authentication";
    case State::channel: return "channel";
    case State::complete: return std::to_string(handshake.channel()) + " " + rest;
    case State::wrong_authentication: return "wrong authentication";
    case State::wrong_channel: return "wrong channel " + rest;
    }
    return {};
}

}  // namespace

TEST_CASE("relay handshake: the banner says how many digits the largest channel number has")
{
    CHECK(RelayHandshake::banner(65535) == "4-BounceServer_1.0");
    CHECK(RelayHandshake::banner(65536) == "5-BounceServer_1.0");
    CHECK(RelayHandshake::banner(15) == "1-BounceServer_1.0");
    CHECK(RelayHandshake::banner(0) == "1-BounceServer_1.0");
    CHECK(RelayHandshake::banner(0xffffffff) == "8-BounceServer_1.0");
}

TEST_CASE("relay handshake: numbers of channels")
{
    CHECK(outcome({"hi002a"}) == "42 ");
    CHECK(outcome({"hi002A"}) == "42 ");
    CHECK(outcome({"hiFfFf"}) == "65535 ");
    CHECK(outcome({"hi0000"}) == "0 ");
    CHECK(outcome({"hi002adata"}) == "42 data");
    CHECK(outcome({"hi002a2a"}) == "42 2a");
    CHECK(outcome({"hi2a\n"}) == "42 \n");
    CHECK(outcome({"hi2axyz"}) == "42 xyz");
    CHECK(outcome({"hi2a"}) == "channel");
    CHECK(outcome({"hi2a"}, true) == "42 ");
    CHECK(outcome({"hi0"}, true) == "0 ");
    CHECK(outcome({"hi"}, true) == "channel");
    CHECK(outcome({"hix"}) == "wrong channel x");
    CHECK(outcome({"hi\n"}) == "wrong channel \n");
    CHECK(outcome({"hi11"}, true, "hi", 16) == "wrong channel ");
    CHECK(outcome({"hi10"}, true, "hi", 16) == "16 ");
    CHECK(outcome({"hi11"}, false, "hi", 16) == "wrong channel ");
    CHECK(outcome({"hi0011"}, false, "hi", 16) == "0 11");
    CHECK(outcome({"hiffffffff"}, false, "hi", 0xffffffff) == "4294967295 ");
}

TEST_CASE("relay handshake: nothing but the whole authentication string is one")
{
    CHECK(outcome({"ho002a"}) == "wrong authentication");
    CHECK(outcome({"xi"}) == "wrong authentication");
    CHECK(outcome({"x"}) == "authentication");
    CHECK(outcome({"h"}, true) == "authentication");
    CHECK(outcome({""}) == "authentication");
    CHECK(outcome({std::string("a\0b\xff", 4) + "7 "}, false, std::string("a\0b\xff", 4)) == "7  ");
    CHECK(outcome({std::string("a\0c\xff", 4) + "7 "}, false, std::string("a\0b\xff", 4)) == "wrong authentication");
}

TEST_CASE("relay handshake: every segmentation and every truncation")
{
    const std::string secret = "open sesame", whole = secret + "2a-and what follows at once";
    for (std::size_t size = 0; size <= whole.size(); ++size) {
        const auto text = whole.substr(0, size);
        const auto expected = outcome({text}, false, secret);
        CHECK(expected == (size < secret.size()        ? "authentication"
                           : size <= secret.size() + 2 ? "channel"
                                                       : "42 " + text.substr(secret.size() + 2)));
        for (std::size_t first = 0; first <= size; ++first)
            for (std::size_t second = first; second <= size; ++second)
                REQUIRE(outcome({text.substr(0, first), text.substr(first, second - first), text.substr(second)}, false,
                                secret) == expected);
        std::vector<std::string> single;
        for (const char c : text)
            single.emplace_back(1, c);
        CHECK(outcome(single, false, secret) == expected);
    }
}

TEST_CASE("relay handshake: who reads what is wanted reads nothing of the channel's, but behind a short number")
{
    for (const std::string text : {"hi002adata", "hi2adata", "hizzzz", "no"}) {
        RelayHandshake handshake("hi", 65535);
        std::size_t read = 0;
        while (!handshake.is_over() && read < text.size()) {
            REQUIRE(handshake.wanted() > 0);
            const auto piece = text.substr(read, handshake.wanted());
            handshake.feed(piece);
            read += piece.size();
        }
        CHECK(handshake.is_over());
        CHECK(read <= 6);
    }
}

TEST_CASE("relay handshake: random bytes never do more than fail")
{
    std::mt19937 random(1);
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = round % 2 == 0 ? "hi" : "";
        for (auto count = random() % 12; count > 0; --count)
            bytes += static_cast<char>(random() % 3 == 0 ? random() : '0' + random() % 10);
        RelayHandshake handshake("hi", 0x1234);
        const auto taken = handshake.feed(bytes);
        REQUIRE(taken <= 6);
        REQUIRE((taken == bytes.size() || handshake.is_over()));
        if (handshake.state() == State::complete)
            REQUIRE(handshake.channel() <= 0x1234);
        handshake.pause();
        REQUIRE(handshake.feed(bytes) <= bytes.size());
    }
}
