// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <instancer/instance.hpp>

namespace instancer::detail {

inline constexpr std::string_view port_placeholder = "{port}";
inline constexpr std::string_view directory_placeholder = "{dir}";
inline constexpr std::string_view listen_port_placeholder = "{listen-port}";

/// `text` with `value` in place of each `placeholder`.
inline std::string replaced(std::string text, std::string_view placeholder, std::string_view value)
{
    for (auto at = text.find(placeholder); at != std::string::npos; at = text.find(placeholder, at + value.size()))
        text.replace(at, placeholder.size(), value);
    return text;
}

/// The port that the first client connected to; none for a warm instance, and over a Unix socket.
inline std::optional<std::uint16_t> listen_port_of(const InstanceRequest& request)
{
    const auto& client = request.client();
    const auto local = client ? client->local() : std::nullopt;
    return local ? std::optional(local->port()) : std::nullopt;
}

}  // namespace instancer::detail
