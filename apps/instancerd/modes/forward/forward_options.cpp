// SPDX-License-Identifier: MIT
#include "files/upstreams.hpp"
#include "modes/forward/forward.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using U = UpstreamOptions;
using C = UpstreamCheck;

constexpr Choice<Balance> balances[] = {{"round-robin", Balance::round_robin},
                                        {"least-connections", Balance::least_connections},
                                        {"source-hash", Balance::source_hash},
                                        {"random", Balance::random}};
constexpr Choice<WhenDown> when_down[] = {{"reset", WhenDown::reset}, {"close-listener", WhenDown::close_listener}};
constexpr Choice<std::optional<ProxyVersion>> proxy_versions[] = {
    {"off", std::nullopt}, {"v1", ProxyVersion::v1}, {"v2", ProxyVersion::v2}};

/// `ADDR[=WEIGHT],...`
Parsed<void> add_upstreams(Target to, const std::string& text)
{
    for (const auto& part : split(text, ',')) {
        auto upstream = parse_upstream(to.settings, part);
        if (!upstream)
            return wrong(upstream.error());
        to.service->upstream.upstreams.push_back(std::move(*upstream));
    }
    return {};
}

Parsed<void> set_check_send(Target to, const std::string& text)
{
    return set(to.service->upstream.check.send, parse_escaped(text));
}

Parsed<void> set_check_expect(Target to, const std::string& text)
{
    auto& expect = to.service->upstream.check.expect;
    if (const auto done = set(expect, parse_escaped(text)); !done)
        return done;
    return expect.size() <= 4096 ? Parsed<void>() : wrong("is longer than the 4096 bytes that are looked at");
}

constexpr Needs checks = {{{{"check-interval", {}, "5s"}}}};

constexpr std::string_view group = "Upstreams (forward)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "to", custom<Shape::list, add_upstreams>.called("ADDR[=WEIGHT],..."), Scope::forward, {},
     "servers that connections are passed on to: host:port, [v6]:port or unix:/path, each with its share; weight 0: "
     "only the connections that it has"},
    {group, "to-file", file<&S::upstreams_file>, Scope::forward, {},
     "servers that connections are passed on to, one ADDR[=WEIGHT] a line; # starts a comment; connections that exist go on",
     {.conflict = {{"to"}, "they are two lists"}, .reload = true}},
    {group, "balance", choice<balances, &S::upstream, &U::balance>, Scope::forward, {},
     "how a connection's server is chosen: in turn; the one with the fewest; the same one for the same client address; "
     "of two at random the one with fewer"},
    {group, "connect-timeout", by_mode<Mode::tunnel_agent, some_duration<&S::tunnel, &TunnelSettings::connect_timeout>,
                                       some_duration<&S::upstream, &U::connect_timeout>>, Scope::dialers, {},
     "how long a server may take to answer; then the next one is tried. With a tunnel's agent: a target, or its server"},
    {group, "max-fails", count<&S::upstream, &U::max_fails>, Scope::forward, {},
     "failures in a row after which a server is tried last; 0: never"},
    {group, "fail-timeout", duration<&S::upstream, &U::fail_timeout>, Scope::forward, {},
     "how long a server is tried last after max-fails failures"},
    {group, "check-interval", duration<&S::upstream, &U::check, &C::interval>, Scope::forward, {},
     "time between two checks of a server, each by a connection of its own; one that is down gets no client at all. 0: no "
     "checks"},
    {group, "check-timeout", some_duration<&S::upstream, &U::check, &C::timeout>, Scope::forward, {},
     "how long one check may take",
     {.needs = checks}},
    {group, "check-send", custom<Shape::text, set_check_send, show<&S::upstream, &U::check, &C::send>>.called("TEXT"), Scope::forward, {},
     "text that a check sends, with \\r, \\n, \\t, \\0, \\\\ and \\xHH as in C",
     {.needs = checks}},
    {group, "check-expect", custom<Shape::text, set_check_expect, show<&S::upstream, &U::check, &C::expect>>.called("TEXT"), Scope::forward,
     "to connect is enough",
     "text that must be in the first 4 KiB of the answer to a check, written as for check-send",
     {.needs = checks}},
    {group, "check-fall", count_in<1, many, &S::upstream, &U::check, &C::fall>, Scope::forward, {},
     "checks that fail in a row until a server is down; the very first decides alone",
     {.needs = checks}},
    {group, "check-rise", count_in<1, many, &S::upstream, &U::check, &C::rise>, Scope::forward, {},
     "checks that succeed in a row until a server is up again",
     {.needs = checks}},
    {group, "slow-start", duration<&S::upstream, &U::slow_start>, Scope::forward, {},
     "how long a server that came back, or was added, takes to reach its full share"},
    {group, "when-down", choice<when_down, &S::when_down>, Scope::forward, {},
     "treatment of clients when no server works: a reset; or a closed port, until one works again"},
    {group, "max-per-upstream", count<&S::upstream, &U::max_per_upstream>, Scope::forward, {},
     "connections to one server at once; when all have so many, clients wait (queue-size, queue-timeout). 0: no limit"},
    {group, "send-proxy", choice<proxy_versions, &S::upstream, &U::send_proxy>, Scope::forward, {},
     "tell the server who its client is: a header of the PROXY protocol before the client's first byte"},
};
// clang-format on

}  // namespace

std::span<const Option> forward_options() { return table; }

}  // namespace instancer::daemon
