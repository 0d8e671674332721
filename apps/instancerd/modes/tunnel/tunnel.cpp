// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel.hpp"

#include <utility>

#include "modes/tunnel/tunnel_service.hpp"
#include "modes/tunnel/tunnel_settings.hpp"

namespace instancer::daemon {

namespace {

std::vector<Listener> server_listeners(const ServiceSettings& service)
{
    const auto& tunnel = service.tunnel;
    std::vector<Listener> listeners;
    if (service.reads("proxy"))
        listeners.emplace_back("proxy", tunnel.agents_listen());
    if (tunnel.control && service.reads("control"))
        listeners.emplace_back("control", *tunnel.control);
    for (const auto& route : tunnel.routes)
        listeners.emplace_back("route", route.listen);
    if (!tunnel.routing_file.empty())
        if (const auto routes = load_routing(tunnel.routing_file))
            for (const auto& route : *routes)
                listeners.emplace_back("routing", route.listen);
    return listeners;
}

Parsed<std::unique_ptr<RunningService>> prepare_server(const OwnedSettings& settings, ServiceContext& context)
{
    const auto& service = settings.service();
    const auto home = context.next_home();
    auto listeners = TunnelListeners::open(service, context.workers.control(), home, context.inherited);
    if (!listeners)
        return wrong(listeners.error());
    auto rules = load_rules(service.access, service.access_file, service.time_zone);
    if (!rules)
        return wrong(rules.error());
    return std::make_unique<TunnelServerService>(settings, context, home, std::move(*listeners), std::move(*rules));
}

Parsed<std::unique_ptr<RunningService>> prepare_agent(const OwnedSettings& settings, ServiceContext& context)
{
    return std::make_unique<TunnelAgentService>(settings, context);
}

constexpr std::array<std::string_view, 2> examples = {
    "tunnel server -p :8443 --route ':8080 10.0.0.1:80' --agents 203.0.113.7 --any-user",
    "tunnel agent  -p tunnel.example:8443"};

}  // namespace

constinit const ModeEntry tunnel_server_mode{
    .mode = Mode::tunnel_server,
    .name = "tunnel-server",
    .use = "for the public end of a reverse tunnel",
    .command = {.words = "tunnel server",
                .forms = {"-t ROUTES -c CONFIG -d USERS [-p ADDR] [-C ADDR] [options]"},
                .purpose = "The public end of a reverse tunnel: connections to its listeners go through the link that "
                           "an agent keeps open.",
                .examples = examples,
                .stray = "remove it",
                .scope = Scope::tunnel_server},
    .options = tunnel_options,
    .check = check_tunnel_server,
    .listeners = server_listeners,
    .prepare = prepare_server,
    .replaceable = false,
};

constinit const ModeEntry tunnel_agent_mode{
    .mode = Mode::tunnel_agent,
    .name = "tunnel-agent",
    .use = "for its private end",
    .command = {.words = "tunnel agent",
                .forms = {"-p HOST:PORT [options]"},
                .purpose = "The private end of a reverse tunnel: it calls the server, and connects to the targets from "
                           "where it is.",
                .examples = examples,
                .stray = "remove it",
                .scope = Scope::tunnel_agent},
    .options = tunnel_options,
    .check = check_tunnel_agent,
    .prepare = prepare_agent,
    .replaceable = false,
};

}  // namespace instancer::daemon
