// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <instancer/admission/place_budget.hpp>
#include <instancer/pool/pool_load.hpp>
#include <instancer/pool/pool_traffic.hpp>
#include <instancer/server_options.hpp>

namespace instancer::daemon {

/// A stage of admission with a limited number of places.
class StagePlaces {
public:
    StagePlaces(std::string name, std::shared_ptr<const PlaceBudget> places)
        : stage(std::move(name)), budget(std::move(places))
    {
    }

    std::string stage;
    std::shared_ptr<const PlaceBudget> budget;
};

/// Those of a server.
std::vector<StagePlaces> places_of(const ServerOptions& options);

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
