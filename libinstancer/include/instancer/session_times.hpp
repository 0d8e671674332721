// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>

namespace instancer {

/// How long the steps of a session took; none for a step that it did not come to.
class SessionTimes {
public:
    /// A span of time.
    using Duration = std::chrono::nanoseconds;

    /// One stage of the session's admission.
    class Stage {
    public:
        std::string_view name;  ///< Of the stage. Lifetime: that of the stage.
        Duration took{0};       ///< Until the client had passed it, or was refused.

        Stage() = default;
    };

    /// Of more stages no time is kept.
    static constexpr std::size_t max_stages = 8;

    std::array<Stage, max_stages> stages;  ///< Those that applied to the client, in their order.
    std::size_t stage_count = 0;           ///< How many of them there are.
    std::optional<Duration> waiting;       ///< For room, or for its turn to start.
    std::optional<Duration> start;         ///< For the start of its instance; 0 if that was ready.
    std::optional<Duration> joined;        ///< From the connect until it was joined to its instance.
    std::optional<Duration> first_byte;    ///< From the connect to the first byte of its instance.

    SessionTimes() = default;
};

}  // namespace instancer
