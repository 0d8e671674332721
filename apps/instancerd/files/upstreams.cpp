// SPDX-License-Identifier: MIT
#include "files/upstreams.hpp"

#include <algorithm>
#include <chrono>
#include <exception>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <instancer/async/host_resolver.hpp>

#include "daemon/system.hpp"

namespace instancer::daemon {

namespace {

/// What it connects to, as far as that can be read.
std::vector<Upstream> peers_of(const Settings& settings, const ServiceSettings& service)
{
    if (service.mode == Mode::tunnel_agent && service.tunnel.peer)
        return {Upstream::tcp(service.tunnel.peer->name(), service.tunnel.peer->port())};
    if (service.mode != Mode::forward || service.upstreams_file.empty())
        return service.upstream.upstreams;
    return load_upstreams(settings, service.upstreams_file).value_or(std::vector<Upstream>());
}

}  // namespace

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

std::vector<std::string> unknown_hosts(const Settings& settings, const ServiceSettings& service)
{
    using instancer::HostResolver;
    auto peers = peers_of(settings, service);
    std::erase_if(peers, [](const Upstream& peer) { return !peer.is_named(); });
    std::vector<std::string> problems;
    for (const auto& peer : peers)
        problems.push_back("looking up " + peer.name() + " takes too long");
    HostResolver resolver;
    asio::io_context context;
    for (std::size_t i = 0; i < peers.size(); ++i)
        asio::co_spawn(context, resolver.find(peers[i].name(), peers[i].port()),
                       [&problem = problems[i]](std::exception_ptr, const Result<HostResolver::Endpoints>& found) {
                           problem = found ? "" : found.error().message();
                       });
    context.run_for(std::chrono::seconds(5));
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < peers.size(); ++i)
        if (!problems[i].empty())
            lines.push_back(peers[i].text() + ": " + problems[i] + "; it counts as down until that works");
    return lines;
}

}  // namespace instancer::daemon
