// SPDX-License-Identifier: MIT
#include <cstdint>
#include <limits>

#include "files/access.hpp"
#include "modes/tunnel/tunnel.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using T = TunnelSettings;
using L = TunnelOptions;

constexpr Choice<SecondAgent> second_agents[] = {{"takes-over", SecondAgent::takes_over},
                                                 {"refused", SecondAgent::refused}};

/// `-p`: where a tunnel's server listens for agents, or where an agent's server is.
Parsed<void> set_peer(Target to, const std::string& text)
{
    auto address = parse_address(text);
    if (!address)
        return wrong(address.error());
    const bool is_agent = to.service->mode == Mode::tunnel_agent;
    if (is_agent && (address->kind() != Address::Kind::tcp || address->name().empty() || address->port() == 0))
        return wrong("'" + text + "' names no server; write host:port, with a port from 1 to 65535");
    if (address->kind() == Address::Kind::unix_socket)
        return wrong("'" + text + "' cannot be reached from elsewhere; write IP:PORT, as in 0.0.0.0:8443");
    to.service->tunnel.peer = *address;
    return {};
}

Parsed<void> set_control(Target to, const std::string& text)
{
    if (text != "off")
        return daemon::address<&S::tunnel, &T::control>.parse(to, text);
    to.service->tunnel.control.reset();
    return {};
}

std::string show_control(const View& from)
{
    const auto& control = from.service->tunnel.control;
    return control ? control->text() : "off";
}

Parsed<void> add_route(Target to, const std::string& text)
{
    const auto parsed = parse_routes(text);
    if (!parsed)
        return wrong(parsed.error());
    auto& routes = to.service->tunnel.routes;
    routes.insert(routes.end(), parsed->begin(), parsed->end());
    return {};
}

Parsed<void> add_agents(Target to, const std::string& text)
{
    const auto network = parse_network(text);
    if (!network)
        return wrong(network.error());
    to.service->tunnel.agents.push_back(*network);
    return {};
}

Parsed<void> add_targets(Target to, const std::string& text)
{
    const auto targets = parse_targets(text);
    if (!targets)
        return wrong(targets.error());
    to.service->tunnel.targets.push_back(*targets);
    return {};
}

constexpr std::uint64_t least_session_buffer = 16 << 10, most_session_buffer = 1 << 30;

Parsed<void> set_session_buffer(Target to, const std::string& text)
{
    const auto size = parse_size(text);
    if (size && (*size < least_session_buffer || *size > most_session_buffer))
        return wrong("'" + text + "' does not fit; write a size from 16k to 1g");
    return set(to.service->tunnel.link.session_buffer, size);
}

Parsed<void> set_total_buffer(Target to, const std::string& text)
{
    const auto size = parse_size(text);
    if (size && *size == 0)
        return wrong("nothing could be kept; write a size such as 256m");
    return set(to.service->tunnel.link.total_buffer, size);
}

/// The log level, as the command line of the original calls it.
Parsed<void> set_verbosity(Target to, const std::string& text)
{
    if (!to.settings.file.empty())
        return wrong("is for the command line; write \"log-level\" at the top level");
    const auto level = parse_verbosity(text);
    if (!level)
        return wrong(level.error());
    to.settings.log_level = level->level;
    return {};
}

constexpr std::string_view group = "Reverse tunnel (tunnel server, tunnel agent)";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "proxy", custom<Shape::text, set_peer, show<&S::tunnel, &T::peer>>.called("ADDR"), Scope::tunnel, "server: 0.0.0.0:8443",
     "server: where agents connect. Agent: its server, as host:port",
     {.letter = 'p'}},
    {group, "routing", file<&S::tunnel, &T::routing_file>, Scope::tunnel_server, {},
     "the server's routes, one a line, as in 0.0.0.0:8080 10.0.0.1:80: where users connect, and which target the "
     "agent connects them to; # starts a comment",
     {.letter = 't'}},
    {group, "route", custom<Shape::list, add_route>.called("'LISTEN TARGET'"), Scope::tunnel_server, {},
     "a route of the server, as in the file of routing; a range of ports, as in ':20000-20009 10.0.0.1:20000-20009', is a "
     "route for each pair, or all to one target",
     {.key = "routes"}},
    {group, "config", file<&S::tunnel, &T::config_file>, Scope::tunnel_server, {},
     "JSON with controller_user, an address for each user, and proxy_client_whitelist, a list of the addresses of "
     "agents",
     {.letter = 'c', .reload = true}},
    {group, "db", file<&S::tunnel, &T::database>, Scope::tunnel_server, {},
     "SQLite database of users: clients that connect from the ip of one of them are let in",
     {.letter = 'd'}},
    {group, "any-user", flag<&S::tunnel, &T::any_user>, Scope::tunnel_server, {},
     "let everybody in, as far as the access rules do, instead of known users",
     {.conflict = {{"db"}, "it lets in users that the database does not know"}}},
    {group, "agents", custom<Shape::list, add_agents>.called("CIDR|ADDRESS|all"), Scope::tunnel_server, {},
     "where agents may come from, beside proxy_client_whitelist"},
    {group, "second-agent", choice<second_agents, &S::tunnel, &T::second_agent>, Scope::tunnel_server, {},
     "treatment of an agent that comes while another one is connected"},
    {group, "agent-wait", duration<&S::tunnel, &T::agent_wait>, Scope::tunnel_server, {},
     "how long users wait for an agent while none is connected; 0: not at all"},
    {group, "control", custom<Shape::text, set_control, show_control>.called("ADDR|off"), Scope::tunnel_server, {},
     "the server's control port: sessions, set userip NAME [IP], set loglvl N, disconnect IP:PORT. Everybody who can "
     "connect to it may use it",
     {.letter = 'C'}},
    {group, "hold-back", duration<&S::tunnel, &T::link, &L::hold_back>, Scope::tunnel_server, {},
     "time between the message that opens a session and the data that follows, toward an agent of the original, which "
     "would connect twice"},
    {group, "half-close-hold", some_duration<&S::tunnel, &T::link, &L::half_close_hold>, Scope::tunnel, {},
     "toward an end of the original, which knows no half-close: how long the other direction may be silent until the "
     "session ends"},
    {group, "session-buffer", custom<Shape::size, set_session_buffer, show_size<&S::tunnel, &T::link, &L::session_buffer>>.called("SIZE").within(least_session_buffer, most_session_buffer), Scope::tunnel, {},
     "bytes to keep of a session whose receiver is slow. Between two of ours no more is sent; toward the original "
     "the whole link waits for a moment"},
    {group, "total-buffer", custom<Shape::size, set_total_buffer, show_size<&S::tunnel, &T::link, &L::total_buffer>>.called("SIZE").within(1, std::numeric_limits<std::int64_t>::max()), Scope::tunnel, {},
     "bytes to keep of all sessions of a link together; beyond that the session that holds most of them ends. Toward "
     "the original the whole link waits for a moment"},
    {group, "stall-timeout", some_duration<&S::tunnel, &T::link, &L::stall_timeout>, Scope::tunnel, {},
     "how long a slow receiver of a session may hold up others; then a session whose receiver has not taken half of "
     "session-buffer is disconnected"},
    {group, "targets", custom<Shape::list, add_targets>.called("CIDR|ADDRESS|all[:PORT]"), Scope::tunnel_agent, "all",
     "which targets the server may have the agent connect to, as in 10.0.0.0/8 or 10.0.0.1:80"},
    {group, "keep-alive", some_duration<&S::tunnel, &T::link, &L::keep_alive>, Scope::tunnel_agent, {},
     "after this long without traffic the agent asks the server for a sign of life, which may take 20s"},
    {group, "reconnect", some_duration<&S::tunnel, &T::reconnect>, Scope::tunnel_agent, {},
     "how long the agent waits before it tries its server again"},
    {group, "verbose", custom<Shape::number, set_verbosity>.called("N"), Scope::tunnel, "20",
     "what is logged, as log-level: 10 (debug), 20 (info), 30 (warning), 40 (error), 50; or 1 to 4, from errors "
     "alone to everything",
     {.letter = 'v', .conflict = {{"log-level"}, "they say the same"}, .no_key = true}},
};
// clang-format on

}  // namespace

std::span<const Option> tunnel_options() { return table; }

}  // namespace instancer::daemon
