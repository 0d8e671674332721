// SPDX-License-Identifier: MIT
#include "metrics/service_metrics.hpp"

#include <algorithm>

namespace instancer::daemon {

bool is_refusal(SessionEnd end) noexcept
{
    return end != SessionEnd::client_reset && end != SessionEnd::client_left && end != SessionEnd::completed;
}

void ServiceMetrics::session_started(std::string_view, std::uint64_t, const ClientInfo&) { sessions_started.add(); }

void ServiceMetrics::session_joined(std::string_view, std::uint64_t, const SessionTimes& times)
{
    if (times.joined)
        join_time.observe(*times.joined);
    if (times.waiting)
        queue_time.observe(*times.waiting);
}

void ServiceMetrics::session_ended(const SessionSummary& summary)
{
    const auto end = static_cast<std::size_t>(summary.end);
    sessions_ended[end].add();
    if (!summary.times.joined && is_refusal(summary.end))
        refusals[end].add();
    if (summary.times.first_byte)
        first_byte_time.observe(*summary.times.first_byte);
}

void ServiceMetrics::instance_started(std::string_view, std::string_view, std::string_view) { starts.add(); }

void ServiceMetrics::instance_ready(std::string_view, std::string_view, std::chrono::nanoseconds took)
{
    start_time.observe(took);
}

void ServiceMetrics::instance_claimed(std::string_view, std::string_view, std::string_view) { warm_hits.add(); }

void ServiceMetrics::instance_ended(const InstanceSummary& summary)
{
    instances_ended[static_cast<std::size_t>(summary.end)].add();
    bytes_up_.add(summary.bytes_up);
    bytes_down_.add(summary.bytes_down);
}

void ServiceMetrics::proof(std::string_view, ProofStep step)
{
    switch (step) {
    case ProofStep::asked: proofs_asked.add(); return;
    case ProofStep::solved: proofs_solved.add(); return;
    case ProofStep::failed: proofs_failed.add(); return;
    }
}

void ServiceMetrics::backend_called(std::string_view, std::string_view call, bool failed)
{
    const auto found = std::find(calls.begin(), calls.end(), call);
    if (found == calls.end())
        return;
    const auto index = static_cast<std::size_t>(found - calls.begin());
    backend_calls[index].add();
    if (failed)
        backend_errors[index].add();
}

std::uint64_t ServiceMetrics::sessions() const noexcept
{
    std::uint64_t ended = 0;
    for (const auto& counter : sessions_ended)
        ended += counter.value();
    // Both change meanwhile.
    const auto started = sessions_started.value();
    return started - std::min(started, ended);
}

PoolTraffic ServiceMetrics::traffic() const noexcept
{
    PoolTraffic traffic;
    traffic.bytes_up = bytes_up_.value();
    traffic.bytes_down = bytes_down_.value();
    return traffic;
}

}  // namespace instancer::daemon
