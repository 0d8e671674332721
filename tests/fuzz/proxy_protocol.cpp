// SPDX-License-Identifier: MIT
// The PROXY header: however it is cut, the same comes out; and what comes out can be sent on.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <instancer/acceptor/proxy_protocol.hpp>

#include "require.hpp"

using namespace instancer;
using State = ProxyHeaderParser::State;

namespace {

/// All that can be said about an outcome.
std::string describe(const ProxyHeaderParser& parser, std::size_t taken)
{
    auto text = std::to_string(static_cast<int>(parser.state())) + " " + std::to_string(taken) + " " +
                std::string(parser.error());
    if (const auto& client = parser.client())
        text += " " + client->to_string() + " " + (client->local() ? ClientInfo::format(*client->local()) : "");
    return text;
}

/// Fed in pieces of the sizes that `next_size` gives.
template <class NextSize>
std::string in_pieces(std::string_view data, NextSize next_size)
{
    ProxyHeaderParser parser;
    std::size_t taken = 0;
    while (parser.state() == State::incomplete && taken < data.size()) {
        const auto piece = data.substr(taken, next_size());
        const auto used = parser.feed(piece);
        REQUIRE(used <= piece.size());
        REQUIRE(used == piece.size() || parser.state() != State::incomplete);
        taken += used;
    }
    return describe(parser, taken);
}

void check_round_trip(const ClientInfo& client)
{
    for (const auto version : {ProxyVersion::v1, ProxyVersion::v2}) {
        const auto header = encode_proxy_header(version, client);
        ProxyHeaderParser parser;
        REQUIRE(parser.feed(header + "x") == header.size());
        REQUIRE(parser.state() == State::complete);
        const bool has_name = client.peer() || (version == ProxyVersion::v2 && !client.path().empty());
        REQUIRE(parser.client().has_value() == has_name);
        if (!has_name)
            continue;
        REQUIRE(parser.client()->peer() == client.peer());
        REQUIRE(parser.client()->local() == client.local());
        REQUIRE(parser.client()->path() == client.path());
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view data(reinterpret_cast<const char*>(bytes), size);
    ProxyHeaderParser parser;
    const auto taken = parser.feed(data);
    const auto whole = describe(parser, taken);
    REQUIRE(taken <= 16 + ProxyHeaderParser::max_payload);

    REQUIRE(in_pieces(data, [] { return 1; }) == whole);
    std::size_t turn = 0;
    REQUIRE(in_pieces(data, [&] { return 1 + bytes[++turn % size] % 7; }) == whole);

    // Nothing less than the whole header is one.
    if (parser.state() == State::complete) {
        ProxyHeaderParser cut;
        cut.feed(data.substr(0, taken - 1));
        REQUIRE(cut.state() == State::incomplete);
    }
    if (parser.client())
        check_round_trip(*parser.client());
    return 0;
}
