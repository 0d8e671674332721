// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

namespace instancer {

/// What the pool does with a client that needs an instance when a cap is reached and every instance is in use. One
/// that is not, the longest unused, makes room before.
enum class WhenFull {
    refuse,       ///< Refuse the client.
    queue,        ///< Let it wait. Owners take turns; the clients of one are served in the order in which they came.
    cull_oldest,  ///< Stop the instance that has had its owner for the longest time.
    cull_idle,    ///< Stop the instance that has been silent for longest, to within a second.
};

/// Policy of an InstancePool. A duration or a cap of 0 means that there is no such limit, if not said otherwise.
class PoolOptions {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    std::size_t max_instances = 64;                     ///< Instances that exist, those that start or stop included.
    std::size_t max_per_owner = 0;                      ///< Instances per owner.
    std::size_t max_sessions_per_instance = 0;          ///< Clients of one instance at once.
    std::size_t max_starting = 4;                       ///< Starts that run at once.
    WhenFull when_full = WhenFull::refuse;              ///< A full owner competes with its own instances only.
    std::size_t queue_size = 128;                       ///< Clients that wait for room; 0 means none may.
    Duration queue_timeout = std::chrono::seconds(30);  ///< How long a client waits for room.
    Duration start_timeout = std::chrono::seconds(30);  ///< From the start to the first connection.
    Duration ttl{0};                                    ///< From the first owner's claim to the end, used or not.
    Duration extension{0};                              ///< What each extension adds to `ttl`; 0: there is none.
    Duration max_extension{0};                          ///< All extensions of an instance together.
    Duration extension_window{0};                       ///< Before its end, in which an instance can be extended.
    Duration idle = std::chrono::minutes(10);   ///< Without a byte in either direction, clients connected or not.
    Duration linger = std::chrono::minutes(5);  ///< After the last client left; 0 means the instance goes at once.
    Duration warn_before{0};                    ///< How long before the end by `ttl` or `idle` sessions are told.
    std::size_t warm = 0;                       ///< Started instances that wait for an owner.
    bool single_use = false;                    ///< An instance serves one session.

    PoolOptions() = default;
};

}  // namespace instancer
