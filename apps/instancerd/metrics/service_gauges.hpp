// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include <instancer/admission/stage_places.hpp>
#include <instancer/pool/pool_load.hpp>
#include <instancer/pool/pool_traffic.hpp>

namespace instancer::daemon {

/// What a service measures of itself when somebody asks.
class ServiceGauges {
public:
    PoolLoad load;            ///< Of all pools together.
    PoolTraffic traffic;      ///< Of the instances that exist.
    std::size_t waiting = 0;  ///< Clients that wait for something else than what `load` counts.
    std::optional<std::size_t> bans;
    std::vector<StagePlaces> places;

    ServiceGauges() = default;

    /// Another pool of the service.
    void add(const PoolLoad& more, const PoolTraffic& passed);

    /// Another service of the same name, one of which takes the place of the other.
    void add(const ServiceGauges& other);
};

}  // namespace instancer::daemon
