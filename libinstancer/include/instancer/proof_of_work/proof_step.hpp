// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// What has become of a proof of work. A client that leaves, or takes too long, comes to `asked` alone.
enum class ProofStep {
    asked,   ///< A client was asked for one.
    solved,  ///< Its answer was right.
    failed,  ///< Its answer was wrong.
};

}  // namespace instancer
