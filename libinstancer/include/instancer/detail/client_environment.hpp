// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <instancer/instance.hpp>

namespace instancer::detail {

/// What an instance is told about its client: names and values for its environment, never the token. A warm instance
/// learns its service only.
inline std::vector<std::pair<std::string, std::string>> client_environment(const InstanceRequest& request)
{
    std::vector<std::pair<std::string, std::string>> out;
    out.emplace_back("INSTANCER_SERVICE", request.service());
    if (const auto& identity = request.identity()) {
        out.emplace_back("INSTANCER_IDENTITY", identity->id().hex());
        out.emplace_back("INSTANCER_OWNER", identity->owner().hex());
    }
    if (const auto& client = request.client(); client && client->peer()) {
        out.emplace_back("INSTANCER_CLIENT_ADDRESS", client->peer()->address().to_string());
        out.emplace_back("INSTANCER_CLIENT_PORT", std::to_string(client->peer()->port()));
    }
    return out;
}

}  // namespace instancer::detail
