// SPDX-License-Identifier: MIT
#include "metrics/service_gauges.hpp"

#include <algorithm>

namespace instancer::daemon {

void ServiceGauges::add(const PoolLoad& more, const PoolTraffic& passed)
{
    load.instances += more.instances;
    load.in_use += more.in_use;
    load.max_instances += more.max_instances;
    load.delayed_starts += more.delayed_starts;
    traffic.bytes_up += passed.bytes_up;
    traffic.bytes_down += passed.bytes_down;
}

void ServiceGauges::add(const ServiceGauges& other)
{
    add(other.load, other.traffic);
    waiting += other.waiting;
    if (other.bans)
        bans = std::max(bans.value_or(0), *other.bans);
    places.insert(places.end(), other.places.begin(), other.places.end());
}

}  // namespace instancer::daemon
