// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <instancer/events.hpp>
#include <instancer/pool/pool_traffic.hpp>

#include "metrics/instruments.hpp"

namespace instancer::daemon {

/// Counts what happens in one service.
///
/// Threads: any.
class ServiceMetrics final : public Events {
public:
    static constexpr std::size_t session_ends = static_cast<std::size_t>(SessionEnd::failed) + 1;
    static constexpr std::size_t instance_ends = static_cast<std::size_t>(InstanceEnd::stopped) + 1;

    /// The calls of a backend that are told apart.
    static constexpr std::array<std::string_view, 6> calls = {"start",       "open",           "assign",
                                                              "personalize", "note_extension", "stop"};

    ServiceMetrics(std::string service, std::string_view service_mode) : name(std::move(service)), mode(service_mode) {}

    void session_started(std::string_view service, std::uint64_t id, const ClientInfo& client) override;
    void session_joined(std::string_view service, std::uint64_t id, const SessionTimes& times) override;
    void session_ended(const SessionSummary& summary) override;
    void instance_started(std::string_view service, std::string_view instance, std::string_view owner) override;
    void instance_ready(std::string_view service, std::string_view instance, std::chrono::nanoseconds took) override;
    void instance_claimed(std::string_view service, std::string_view instance, std::string_view owner) override;
    void instance_ended(const InstanceSummary& summary) override;
    void proof(std::string_view service, ProofStep step) override;
    void backend_called(std::string_view service, std::string_view call, bool failed) override;

    /// Sessions that go on.
    std::uint64_t sessions() const noexcept;

    /// What has passed through instances that have ended.
    PoolTraffic traffic() const noexcept;

    const std::string name;
    const std::string_view mode;

    Counter sessions_started, starts, warm_hits, proofs_asked, proofs_solved, proofs_failed;
    std::array<Counter, session_ends> sessions_ended, refusals;
    std::array<Counter, instance_ends> instances_ended;
    std::array<Counter, calls.size()> backend_calls, backend_errors;
    Histogram join_time, first_byte_time, start_time, queue_time;

private:
    Counter bytes_up_, bytes_down_;
};

/// Whether a client that was not joined to an instance was refused by that end, rather than having left.
bool is_refusal(SessionEnd end) noexcept;

}  // namespace instancer::daemon
