// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/failure_counts.hpp>
#include <instancer/admission/proof_queue.hpp>
#include <instancer/admission/proof_stage.hpp>
#include <instancer/events.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/proof_of_work/adaptive_price.hpp>
#include <instancer/proof_of_work/signature_bypass.hpp>
#include <instancer/server_options.hpp>

#include "config/settings.hpp"

namespace instancer::daemon {

class Log;

/// Reads a public key for health checks. The error names the file.
Parsed<SignatureBypass> load_bypass(const std::string& file);

/// The public key of health checks, which an operator may replace.
///
/// Threads: any.
class BypassKey {
public:
    explicit BypassKey(SignatureBypass key) : key_(std::move(key)) {}

    void replace(SignatureBypass key)
    {
        const std::lock_guard lock(mutex_);
        key_ = std::move(key);
    }

    /// Whether `answer` is a signature of `challenge`.
    bool verify(std::string_view challenge, std::string_view answer) const { return key()(challenge, answer); }

private:
    SignatureBypass key() const
    {
        const std::lock_guard lock(mutex_);
        return key_;
    }

    mutable std::mutex mutex_;  ///< Guards what follows.
    SignatureBypass key_;
};

/// Asks the clients of one service for proofs of work, at a price that may follow the load.
///
/// Lifetime: what it is made of must outlive it, and it the server.
/// Threads: the control executor; what it hears, and the price, on any.
class ProofGate final : public Events {
public:
    /// Throws when the key for health checks cannot be read any more.
    ProofGate(asio::any_io_executor control, const ServiceSettings& service, const InstancePool& pool,
              std::shared_ptr<UnadmittedLimit> unadmitted, Events& events, Log& log);

    /// Adds its stage to those of the server, where the settings have it. The answers are checked in `queue`.
    void add_to(ServerOptions& options, std::shared_ptr<ProofQueue> queue);

    /// What the file of the key for health checks holds now; none where there is no such file.
    ///
    /// Threads: any.
    std::optional<Parsed<SignatureBypass>> read_bypass() const;

    /// Uses what was read, if it is right.
    void use_bypass(Parsed<SignatureBypass> key);

    void session_ended(const SessionSummary& summary) override;

private:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds interval{1};            ///< Between two looks at the load.
    static constexpr std::chrono::minutes failure_remembered{2};  ///< A guess.

    ProofOptions options(std::shared_ptr<ProofQueue> queue);

    AdaptivePrice::Seconds price_for(const ClientInfo& client);

    /// Looks at the load now and then, from now on.
    void watch_load();

    void update_price();

    Source source_of(const ClientInfo& client) const
    {
        return Source(client, service_.source_prefix, service_.source_prefix4);
    }

    const ServiceSettings& service_;
    const InstancePool& pool_;
    const std::shared_ptr<UnadmittedLimit> unadmitted_;
    Events& events_;
    Log& log_;
    const std::shared_ptr<BypassKey> bypass_;  ///< None where nobody gets past.
    const std::shared_ptr<asio::steady_timer> timer_;
    std::mutex mutex_;  ///< Guards what follows.
    AdaptivePrice price_;
    FailureCounts failures_;
};

}  // namespace instancer::daemon
