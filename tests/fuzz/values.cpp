// SPDX-License-Identifier: MIT
// Values of options, and files of tokens and servers: what is read can be written again and means the same; what is
// wrong is said in one short line, and no part of a token is in it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "files/tokens.hpp"
#include "options/values.hpp"
#include "require.hpp"

using namespace instancer;
using namespace instancer::daemon;

namespace {

template <class T>
void check_message(const Parsed<T>& parsed)
{
    if (parsed)
        return;
    const auto& text = parsed.error();
    REQUIRE(!text.empty());
    REQUIRE(text.size() < 1500);
    REQUIRE(std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20; }));
}

void check_address(std::string_view text)
{
    const auto address = parse_address(text);
    check_message(address);
    if (!address)
        return;
    const auto again = parse_address(address->text());
    REQUIRE((again && *again == *address));
    const auto other = Address::tcp("127.0.0.1", address->port());
    REQUIRE(address->collides(other) == other.collides(*address));
}

std::string written(const ListedToken& token, Auth auth)
{
    if (auth == Auth::prompt)
        return " " + token.secret() + "\t" + token.label();
    std::string text = "hex:";
    for (const char byte : token.secret()) {
        text += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text + "\t" + token.label();
}

void check_tokens(std::string_view text, Auth auth)
{
    const auto tokens = parse_tokens(text, "tokens", auth);
    check_message(tokens);
    if (!tokens) {
        // Nothing but place, sizes and remedy: the same for every text of that shape.
        std::string hidden(text);
        for (auto& c : hidden)
            if (static_cast<unsigned char>(c) > 0x7f)
                c = '\x7f';
        const auto same = parse_tokens(hidden, "tokens", auth);
        REQUIRE((!same && same.error() == tokens.error()));
        return;
    }
    std::string lines;
    for (const auto& token : *tokens)
        lines += written(token, auth) + "\r\n";
    const auto again = parse_tokens(lines, "tokens", auth);
    REQUIRE((again && *again == *tokens));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    check_address(text);
    for (const auto auth : {Auth::token, Auth::prompt})
        check_tokens(text, auth);
    check_message(parse_duration(text));
    check_message(parse_short_duration(text));
    check_message(parse_size(text));
    check_message(parse_count(text, 1, 65535));
    check_message(parse_cpus(text));
    check_message(parse_hex(text, 4));
    check_message(parse_escaped(text));
    check_message(parse_ports(text));
    check_message(parse_assignment(text));
    check_message(parse_name(text));
    if (const auto ports = parse_ports(text))
        REQUIRE((ports->first() > 0 && ports->first() <= ports->last()));
    return 0;
}
