// SPDX-License-Identifier: MIT
#pragma once

namespace instancer {

/// A limit that a controller of control groups can set for all processes of an instance together.
enum class GroupLimit {
    memory,  ///< `ProcessOptions::limit_memory`.
    pids,    ///< `ProcessOptions::limit_pids`.
    cpu,     ///< `ProcessOptions::limit_cpus`.
};

}  // namespace instancer
