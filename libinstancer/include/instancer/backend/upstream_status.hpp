// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace instancer {

/// Whether an upstream gets connections.
enum class UpstreamState {
    up,        ///< It does.
    resting,   ///< Too many connections to it failed: it is tried last, for a while.
    down,      ///< Checks say that it does not work, or its name has no address: it is not tried.
    draining,  ///< It keeps its connections, and gets no more.
};

/// Its words, as the log has them.
constexpr std::string_view to_string(UpstreamState state) noexcept
{
    switch (state) {
    case UpstreamState::up: return "up";
    case UpstreamState::resting: return "resting";
    case UpstreamState::down: return "down";
    case UpstreamState::draining: return "draining";
    }
    return "unknown";
}

/// The state of an upstream.
class UpstreamStatus {
public:
    std::string name;                         ///< `host:port`, `[v6]:port` or `unix:/path`.
    UpstreamState state = UpstreamState::up;  ///< Whether it gets clients.
    std::size_t connections = 0;              ///< Including those that are being made.
    unsigned weight = 0;                      ///< As given; slow start does not show.

    UpstreamStatus() = default;
    /// All of it at once.
    UpstreamStatus(std::string text, UpstreamState now, std::size_t count, unsigned share)
        : name(std::move(text)), state(now), connections(count), weight(share)
    {
    }
};

}  // namespace instancer
