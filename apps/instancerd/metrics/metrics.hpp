// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <instancer/acceptor/unadmitted_limit.hpp>

#include "config/settings.hpp"
#include "metrics/service_gauges.hpp"
#include "metrics/service_metrics.hpp"

namespace instancer::daemon {

/// What was measured at one moment, as far as it was told in time.
class MetricsMoment {
public:
    /// Of one service, with its counters as they were then: bytes are not counted twice when an instance ends.
    class Service {
    public:
        Service(ServiceMetrics& counted, ServiceGauges measured)
            : metrics(counted), gauges(std::move(measured)), ended(counted.traffic())
        {
        }

        ServiceMetrics& metrics;
        ServiceGauges gauges;
        PoolTraffic ended;
    };

    std::vector<std::chrono::nanoseconds> loop_delays;  ///< Of each worker, or how long it has not answered.
    std::optional<std::vector<Service>> services;       ///< None where the control executor has not answered.

    MetricsMoment() = default;
};

/// The counters of all services, and their text.
///
/// Threads: any.
class Metrics {
public:
    /// Those of a service, from its first use to the end of this.
    ServiceMetrics& of(const ServiceSettings& service);

    /// In Prometheus's text format.
    std::string text(const MetricsMoment& moment, const UnadmittedLimit& unadmitted) const;

private:
    using Key = std::pair<std::string, Mode>;

    std::vector<const ServiceMetrics*> all() const;

    mutable std::mutex mutex_;  ///< Guards what follows.
    std::map<Key, std::unique_ptr<ServiceMetrics>> services_;
};

}  // namespace instancer::daemon
