// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// The two ends of a tunnel's link.
enum class TunnelRole {
    server,  ///< Opens sessions for users.
    agent,   ///< Connects sessions to targets.
};

}  // namespace instancer
