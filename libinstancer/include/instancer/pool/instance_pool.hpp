// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/pool/pool_driver.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/extension.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/pool/lease_ticket.hpp>
#include <instancer/pool/pool_load.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/pool_traffic.hpp>

namespace instancer {

/// Holds the instances of one service and all policy about them: who gets which, when one starts, when it ends.
///
/// Lifetime: the backend and the events must outlive the pool, and the control executor must run until `wait_empty`
/// has completed.
/// Threads: `acquire` on any executor; every other member on the control executor.
class InstancePool {
public:
    /// A pool of instances of `backend`. Several pools may share a `budget`.
    InstancePool(asio::any_io_executor control, std::string service, const PoolOptions& options,
                 InstanceBackend& backend, Events& events, std::shared_ptr<InstanceBudget> budget = nullptr)
        : driver_(std::make_shared<detail::PoolDriver>(std::move(control), std::move(service), options, backend, events,
                                                       std::move(budget))),
          traits_(backend.traits()),
          single_use_(options.single_use || traits_.single_use()),
          backend_(backend)
    {
    }
    InstancePool(const InstancePool&) = delete;
    InstancePool& operator=(const InstancePool&) = delete;

    /// Checks the backend, takes over what a previous run left, and begins to start warm instances.
    ///
    /// Concurrency: any number of calls; the first one starts, and all have its result.
    /// Cancellation: none for the first call; `drain` and `close` have it end soon. Any type for others.
    /// Errors: those of `InstanceBackend::prepare` and `recover`; nothing runs then. Errc::cancelled.
    asio::awaitable<Result<void>> start() { return driver_->start(); }

    /// Finds or starts the instance of `request.identity()` and waits until it is ready.
    ///
    /// Time: at most the queue timeout and the start timeout together; at once when the instance runs.
    /// Concurrency: any number of calls; those of one identity share one start.
    /// Cancellation: terminal; an instance that only this call waited for is stopped.
    /// Errors: Errc::full, owner_full, culled, queue_timeout, start_failed, start_timeout, backend_unavailable, reset,
    /// stopping, cancelled; for a request that is only to join one, no_instance where another one would have one
    /// started.
    asio::awaitable<Result<Lease>> acquire(AcquireRequest request)
    {
        const auto executor = co_await asio::this_coro::executor;
        const LeaseTicket ticket = begin_acquire(executor, std::move(request));
        co_return co_await ticket.wait();
    }

    /// The first half of `acquire`, for a caller that waits for other things too; the second is `LeaseTicket::wait`,
    /// on `executor`.
    LeaseTicket begin_acquire(const asio::any_io_executor& executor, AcquireRequest request)
    {
        return LeaseTicket(driver_, executor, std::move(request));
    }

    /// Stops every instance of `owner`.
    void reset_owner(const Digest& owner) { driver_->reset_owner(owner); }

    /// As `reset_owner`, and refuses its clients that wait for room.
    void remove_owner(const Digest& owner) { driver_->remove_owner(owner); }

    /// Stops the instance that `snapshot` lists as `id`. Its sessions end, and clients that wait for its start are
    /// refused, because of `InstanceEnd::stopped`. False when there is none.
    bool stop(std::uint64_t id) { return driver_->stop(id); }

    /// Keeps the instance that `snapshot` lists as `id` from ending by a time limit before `until`. It can still make
    /// room for others. A later call replaces an earlier one. False when there is none.
    bool extend(std::uint64_t id, std::chrono::steady_clock::time_point until) { return driver_->extend(id, until); }

    /// Has the instance that `snapshot` lists as `id` live longer than its `ttl`, as its owner wishes and the options
    /// allow. Unlike `extend` it is bounded, other limits go on, and a later run that takes the instance over knows.
    Extension extend_ttl(std::uint64_t id) { return driver_->extend_ttl(SlotId::from_key(id)); }

    /// The same for the instance of `identity`.
    Extension extend_ttl(const Identity& identity) { return driver_->extend_ttl(identity); }

    /// Decides by other options from now on. Instances that exist keep their time limits, and lower caps end none of
    /// them; warm instances beyond `warm` are stopped. `single_use` stays as it was.
    ///
    /// Time: by the number of instances and owners.
    void replace_options(const PoolOptions& options) { driver_->replace_options(options); }

    /// Refuses new clients, stops unused instances, and stops each other instance when its last client leaves.
    void drain() { driver_->drain(); }

    /// Stops everything now.
    void close() { driver_->close(); }

    /// Completes when, after `drain` or `close`, no instance is left.
    ///
    /// Cancellation: any type; nothing is changed by it.
    asio::awaitable<void> wait_empty() { return driver_->wait_empty(); }

    /// An entry for each instance that exists.
    std::vector<InstanceInfo> snapshot() const { return driver_->snapshot(); }

    /// Whether it counts what the owners of its clients have in other pools of its budget.
    bool counts_common_owners() const noexcept { return driver_->counts_common_owners(); }

    /// How busy it is.
    PoolLoad load() const noexcept { return driver_->load(); }

    /// What has passed through the instances that exist.
    ///
    /// Time: by their number.
    PoolTraffic traffic() const noexcept { return driver_->traffic(); }

    /// Whether each instance serves one session: then no session finds the instance of another.
    bool single_use() const noexcept { return single_use_; }

    /// The traits of its backend.
    const BackendTraits& traits() const noexcept { return traits_; }
    /// Where its instances come from.
    InstanceBackend& backend() noexcept { return backend_; }

private:
    friend class PoolUser;

    std::shared_ptr<detail::PoolDriver> driver_;
    BackendTraits traits_;
    bool single_use_;
    InstanceBackend& backend_;
};

}  // namespace instancer
