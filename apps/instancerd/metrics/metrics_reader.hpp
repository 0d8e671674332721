// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <instancer/workers.hpp>

#include "metrics/metrics.hpp"

namespace instancer::daemon {

/// Asks the workers what they measure now, and makes a text of it.
///
/// Lifetime: what it is made of must outlive it, and the run of the workers.
/// Threads: any but those of the workers, several at once.
class MetricsReader {
public:
    /// What each service measures. Called on the control executor.
    using Measure = std::function<std::vector<MetricsMoment::Service>()>;

    MetricsReader(Workers& workers, const Metrics& metrics, const UnadmittedLimit& unadmitted, Measure measure)
        : workers_(workers), metrics_(metrics), unadmitted_(unadmitted), measure_(std::move(measure))
    {
    }

    /// All metrics in Prometheus's text format. What a worker has not told in time is left out.
    ///
    /// Time: `patience` at most, and what it takes to write the text.
    std::string text(std::chrono::milliseconds patience = std::chrono::seconds(1)) const;

private:
    class Round;

    Workers& workers_;
    const Metrics& metrics_;
    const UnadmittedLimit& unadmitted_;
    const Measure measure_;
};

}  // namespace instancer::daemon
