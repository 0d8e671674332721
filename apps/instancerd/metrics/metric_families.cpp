// SPDX-License-Identifier: MIT
#include "metrics/metric_families.hpp"

namespace instancer::daemon {

namespace {

using namespace families;

constexpr const MetricFamily* list[] = {
    &build,         &loop_delay, &unadmitted,    &unadmitted_limit, &sessions_started, &sessions_ended,
    &refusals,      &sessions,   &join_time,     &first_byte_time,  &starts,           &instances_ended,
    &start_time,    &warm_hits,  &instances,     &instances_in_use, &instances_limit,  &bytes,
    &queue_length,  &queue_time, &stage_places,  &stage_limit,      &proofs_asked,     &proofs_solved,
    &proofs_failed, &bans,       &backend_calls, &backend_errors,
};

}  // namespace

std::span<const MetricFamily* const> metric_families() { return list; }

std::string_view name_of(MetricFamily::Kind kind)
{
    switch (kind) {
    case MetricFamily::Kind::counter: return "counter";
    case MetricFamily::Kind::gauge: return "gauge";
    case MetricFamily::Kind::histogram: break;
    }
    return "histogram";
}

std::string metric_table()
{
    std::string rows;
    for (const auto* family : list)
        rows += "| `" + std::string(family->name) + "` | " + std::string(name_of(family->kind)) + " | " +
                (family->labels.empty() ? "-" : std::string(family->labels)) + " | " + std::string(family->help) +
                " |\n";
    return rows;
}

}  // namespace instancer::daemon
