// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// How an upstream is chosen for a connection; weights count in each.
enum class Balance {
    round_robin,        ///< In turn, evenly spread.
    least_connections,  ///< The one that serves the fewest.
    source_hash,        ///< The same one for the same client address; few clients move when the list changes.
    random,             ///< Of two at random the one that serves fewer.
};

}  // namespace instancer
