// SPDX-License-Identifier: MIT
#include "upstreams.hpp"

#include <algorithm>

#include "system.hpp"

namespace instancer::daemon {

Parsed<Upstream> parse_upstream(const Settings& settings, const std::string& text)
{
    const auto equals = text.rfind('=');
    const auto address = parse_address(text.substr(0, equals));
    if (!address)
        return wrong(address.error());
    if (address->kind() == Address::Kind::inherited)
        return wrong(in_quotes(text) + " cannot be connected to; write host:port or unix:/path");
    if (address->kind() == Address::Kind::tcp && (address->name().empty() || address->port() == 0))
        return wrong(in_quotes(text) + " names no server; write host:port, with a port from 1 to 65535");
    auto upstream = address->kind() == Address::Kind::tcp ? Upstream::tcp(address->name(), address->port())
                                                          : Upstream::unix_socket(settings.resolve(address->name()));
    if (equals != text.npos) {
        const auto weight = parse_count(text.substr(equals + 1), 0, 10'000);
        if (!weight)
            return wrong("the weight of " + text.substr(0, equals) + ": " + weight.error());
        upstream.weight = static_cast<unsigned>(*weight);
    }
    return upstream;
}

Parsed<std::vector<Upstream>> parse_upstreams(const Settings& settings, std::string_view text, const std::string& file)
{
    std::vector<Upstream> upstreams;
    int number = 0;
    for (const auto& whole : split(text, '\n')) {
        ++number;
        const auto content = whole.substr(0, whole.find('#'));
        const auto begin = content.find_first_not_of(" \t\r");
        if (begin == content.npos)
            continue;
        const auto line = content.substr(begin, content.find_last_not_of(" \t\r") + 1 - begin);
        const auto place = file + ":" + std::to_string(number) + ": ";
        auto upstream = parse_upstream(settings, line);
        if (!upstream)
            return wrong(place + upstream.error());
        const bool is_there = std::any_of(upstreams.begin(), upstreams.end(),
                                          [&](const auto& other) { return other.text() == upstream->text(); });
        if (is_there)
            return wrong(place + upstream->text() + " is there twice; keep one of them, with a weight as in " +
                         upstream->text() + "=2");
        upstreams.push_back(std::move(*upstream));
    }
    if (upstreams.empty())
        return wrong(file + ": holds no upstream; write one a line, as host:port or host:port=WEIGHT");
    return upstreams;
}

Parsed<std::vector<Upstream>> load_upstreams(const Settings& settings, const std::string& file)
{
    const auto text = read_file(file);
    if (!text)
        return wrong(text.error());
    return parse_upstreams(settings, *text, file);
}

}  // namespace instancer::daemon
