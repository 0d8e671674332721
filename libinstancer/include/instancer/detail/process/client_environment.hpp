// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <instancer/detail/process/placeholders.hpp>
#include <instancer/instance.hpp>

namespace instancer::detail {

/// What an instance is told by its environment: its service, and with `tell_client` who its client is, never the token.
/// A warm instance has no client.
inline std::vector<std::pair<std::string, std::string>> client_environment(const InstanceRequest& request,
                                                                           bool tell_client)
{
    std::vector<std::pair<std::string, std::string>> out;
    out.emplace_back("INSTANCER_SERVICE", request.service());
    if (!tell_client)
        return out;
    if (const auto& identity = request.identity()) {
        out.emplace_back("INSTANCER_IDENTITY", identity->id().hex());
        out.emplace_back("INSTANCER_OWNER", identity->owner().hex());
    }
    if (const auto port = listen_port_of(request))
        out.emplace_back("INSTANCER_LISTEN_PORT", std::to_string(*port));
    if (const auto& client = request.client(); client && client->peer()) {
        out.emplace_back("INSTANCER_CLIENT_ADDRESS", client->peer()->address().to_string());
        out.emplace_back("INSTANCER_CLIENT_PORT", std::to_string(client->peer()->port()));
    } else if (client && client->uid()) {
        out.emplace_back("INSTANCER_CLIENT_UID", std::to_string(*client->uid()));
    }
    return out;
}

}  // namespace instancer::detail
