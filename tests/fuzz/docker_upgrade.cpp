// SPDX-License-Identifier: MIT
// The engine's answer to a request to attach: however it is cut the same comes out, nothing behind it is taken, and
// what a refusal says is short.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "docker_upgrade.hpp"
#include "require.hpp"

using instancer::detail::UpgradeParser;
using State = UpgradeParser::State;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view data(reinterpret_cast<const char*>(bytes), size);
    UpgradeParser parser, cut;
    const auto taken = parser.feed(data);
    std::size_t at = 0;
    for (std::size_t turn = 0; at < size && cut.state() == State::incomplete; ++turn)
        at += cut.feed(data.substr(at, 1 + bytes[turn % size] % 7));
    REQUIRE(at == taken);
    REQUIRE(cut.state() == parser.state());
    REQUIRE(cut.refusal() == parser.refusal());
    REQUIRE(parser.refusal().size() <= 200);

    const auto end = data.find("\r\n\r\n");
    if (parser.state() == State::upgraded)
        REQUIRE((data.starts_with("HTTP/1.1 101 ") || data.starts_with("HTTP/1.1 200 ")));
    if (parser.state() != State::incomplete)
        REQUIRE((taken == end + 4 || taken == UpgradeParser::max_size));
    else
        REQUIRE((end == data.npos && taken == size));
    return 0;
}
