// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace instancer {

/// What has passed between clients and the instances of a pool that exist now.
class PoolTraffic {
public:
    std::uint64_t bytes_up = 0;    ///< Bytes from clients to instances.
    std::uint64_t bytes_down = 0;  ///< Bytes from instances to clients.

    PoolTraffic() = default;
};

}  // namespace instancer
