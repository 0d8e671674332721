// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

namespace instancer {

/// How a second agent is treated.
enum class SecondAgent {
    takes_over,  ///< The link of the first one ends, and its sessions with it.
    refused,     ///< It has to wait until the first one has gone.
};

/// Options that both ends of a tunnel's link choose for themselves.
class TunnelOptions {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    /// After this long without traffic the agent asks for a sign of life.
    Duration keep_alive = std::chrono::seconds(50);

    /// After this long without any answer the agent gives the link up; and the server gives an agent up whose
    /// place another one wants.
    Duration answer_timeout = std::chrono::seconds(20);

    /// How long the server waits, between the message that opens a session and the data that follows, for an agent that
    /// would open another connection if the data came sooner. Not toward our own agents.
    Duration hold_back = std::chrono::milliseconds(100);

    /// How long an end of stream that the protocol cannot carry is held while nothing comes from the other end.
    Duration half_close_hold = std::chrono::seconds(30);

    /// Toward an end that knows no windows: a receiver that others wait for is disconnected if it has not taken half of
    /// a full buffer in this time.
    Duration stall_timeout = std::chrono::seconds(2);

    /// Bytes kept of a session whose user or target does not take them, and the window that our own kind is given.
    std::size_t session_buffer = std::size_t{1} << 20;

    /// Bytes kept of all sessions of a link together, at least `session_buffer`. Beyond it the session ends of which
    /// most is kept; toward an end that knows no windows, the link is not read for a moment.
    std::size_t total_buffer = std::size_t{256} << 20;

    /// Sessions that an agent has at once; it refuses further ones. 0: no limit.
    std::size_t max_sessions = 1000;

    TunnelOptions() = default;
};

}  // namespace instancer
