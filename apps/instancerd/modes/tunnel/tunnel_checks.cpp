// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel.hpp"
#include "modes/tunnel/user_database.hpp"

namespace instancer::daemon {

namespace {

void check_both(Checker& checker)
{
    const auto& link = checker.service.tunnel.link;
    if (!checker.service.command.empty() || checker.has("command"))
        checker.refuse("command", "is not run: a tunnel reaches servers that run already; remove it");
    if (checker.has("total-buffer") && link.total_buffer < link.session_buffer)
        checker.refuse("total-buffer", "is less than " + checker.say("session-buffer") + "; raise it or lower that");
}

void check_files(Checker& checker)
{
    const auto& service = checker.service;
    const auto& tunnel = service.tunnel;
    if (!tunnel.routing_file.empty())
        if (const auto routes = load_routing(tunnel.routing_file); !routes)
            checker.refuse("routing", routes.error());
    if (tunnel.routes.empty() && !checker.has("route") && !checker.has("routing"))
        checker.refuse("routing", "has no route; add " + checker.say("routing", "FILE") + " or " +
                                      checker.say("route", "0.0.0.0:8080 10.0.0.1:80"));
    TunnelConfig config;
    if (!tunnel.config_file.empty()) {
        auto read = load_tunnel_config(tunnel.config_file);
        if (!read)
            return checker.refuse("config", read.error());
        config = std::move(*read);
    }
    if (tunnel.agents.empty() && config.agents.empty() && !checker.has("agents"))
        checker.refuse("agents", "no agent may connect; add " + checker.say("agents", "ADDRESS") +
                                     ", or proxy_client_whitelist in " + checker.say("config", "FILE"));
    if (config.users.empty() && !checker.has("db") && !tunnel.any_user)
        checker.refuse("db", "no user may connect; add " + checker.say("db", "FILE") + ", controller_user in " +
                                 checker.say("config", "FILE") + ", or " + checker.say("any-user"));
}

}  // namespace

void check_tunnel_server(Checker& checker)
{
    const auto& tunnel = checker.service.tunnel;
    check_both(checker);
    check_files(checker);
    if (!tunnel.database.empty())
        if (const auto users = UserDatabase::open(tunnel.database); !users)
            checker.refuse("db", users.error());
}

void check_tunnel_agent(Checker& checker)
{
    check_both(checker);
    if (!checker.service.tunnel.peer && !checker.has("proxy"))
        checker.refuse("proxy", "has no server to connect to; add " + checker.say("proxy", "host:8443"));
}

}  // namespace instancer::daemon
