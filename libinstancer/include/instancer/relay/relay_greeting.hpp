// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>

namespace instancer {

/// How clients of the relay are greeted.
class RelayGreeting {
public:
    std::uint32_t max_channel = 65535;           ///< Channels have numbers from 0 to this.
    bool newline = true;                         ///< After the banner.
    bool ready = true;                           ///< `READY` once a client has joined its channel.
    std::chrono::milliseconds digit_pause{200};  ///< After it, a channel number with fewer digits is complete.

    RelayGreeting() = default;
};

}  // namespace instancer
