// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/workers.hpp>

#include "reload/replaceable_backend.hpp"

namespace instancer::daemon {

class RunningService;

/// The instances of a service, which go on when another service takes its place with other options.
///
/// Lifetime: the workers and the events must outlive it.
/// Threads: the control executor.
class ServiceInstances {
public:
    /// `recovers`: whether it looks for what a previous run left.
    ServiceInstances(Workers& workers, const std::string& service, const PoolOptions& options,
                     std::unique_ptr<InstanceBackend> backend, bool recovers, Events& events,
                     std::shared_ptr<InstanceBudget> budget);

    InstancePool& pool() noexcept { return pool_; }

    /// `service` gives its clients these instances, until it leaves.
    void enter(const RunningService* service) { services_.push_back(service); }
    void leave(const RunningService* service) { std::erase(services_, service); }

    /// Whether it is the last service that came.
    bool are_shown_by(const RunningService* service) const { return !services_.empty() && services_.back() == service; }

    /// Whether `backend` can start the instances from now on.
    bool can_use(const InstanceBackend& backend) const { return backend_.is_like(backend); }

    /// New instances follow these options.
    void use(const PoolOptions& options);

    /// The same, and are started by `backend`, which is prepared. Warm instances that have no client yet are replaced.
    void use(const PoolOptions& options, std::unique_ptr<InstanceBackend> backend);

private:
    /// With as many instances as the backend can have.
    PoolOptions capped(PoolOptions options) const;

    std::size_t most_;  ///< That the backend can have; 0: no limit.
    ReplaceableBackend backend_;
    InstancePool pool_;
    std::vector<const RunningService*> services_;
};

}  // namespace instancer::daemon
