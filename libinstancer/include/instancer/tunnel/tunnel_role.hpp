// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// Which end of a tunnel's link one is.
enum class TunnelRole {
    server,  ///< Opens sessions for users.
    agent,   ///< Connects sessions to targets.
};

}  // namespace instancer
