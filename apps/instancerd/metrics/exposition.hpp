// SPDX-License-Identifier: MIT
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "metrics/instruments.hpp"
#include "metrics/metric_families.hpp"

namespace instancer::daemon {

/// Metrics in Prometheus's text format, version 0.0.4. All samples of a family follow its head.
class Exposition {
public:
    static constexpr std::string_view content_type = "text/plain; version=0.0.4; charset=utf-8";

    using Labels = std::initializer_list<std::pair<std::string_view, std::string_view>>;

    void begin(const MetricFamily& family);

    void sample(const MetricFamily& family, Labels labels, double value);

    /// All samples of a histogram.
    void sample(const MetricFamily& family, Labels labels, const Histogram& histogram);

    const std::string& text() const noexcept { return text_; }

private:
    void line(std::string_view name, std::string_view suffix, const std::string& labels, double value);

    std::string text_;
};

}  // namespace instancer::daemon
