// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/detail/pool/instance_record.hpp>
#include <instancer/detail/pool/instance_runner.hpp>
#include <instancer/detail/pool/queue_teller.hpp>
#include <instancer/detail/pool/waiting_clients.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/extension.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/pool_state.hpp>
#include <instancer/pool/pool_traffic.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Carries out what a PoolState decides, and tells it what happens. Lives on the control executor.
class PoolDriver final : public Lease::Issuer,
                         public InstanceRunner::Pool,
                         public std::enable_shared_from_this<PoolDriver> {
public:
    using Clock = PoolState::Clock;

    PoolDriver(asio::any_io_executor control, std::string service, const PoolOptions& options, InstanceBackend& backend,
               Events& events, std::shared_ptr<InstanceBudget> budget);

    const asio::any_io_executor& control() const noexcept { return control_; }

    /// How many share the pool and have not closed it.
    struct Users {
        std::size_t active = 0;
        std::size_t draining = 0;
        bool begun = false;  ///< One of them has started, drained or closed the pool.
    };
    Users& users() noexcept { return users_; }

    /// Whether it counts what the owners of its clients have in other pools.
    bool counts_common_owners() const noexcept { return budget_ && budget_->owners().limited(); }

    /// Starts once; whoever calls it later shares the result.
    asio::awaitable<Result<void>> start();

    void acquire(const WaitingClientPtr& client);

    void abandon(const WaitingClientPtr& client)
    {
        if (!clients_.take(client->waiter))
            return;
        state_.abandon(Clock::now(), client->waiter);
        execute_actions();
    }

    void give_back(std::uint64_t instance, std::uint32_t session, bool in_order) noexcept override;

    void reset_owner(const Digest& owner)
    {
        state_.reset_owner(Clock::now(), owner);
        execute_actions();
    }

    void remove_owner(const Digest& owner)
    {
        state_.remove_owner(Clock::now(), owner);
        execute_actions();
    }

    bool stop(std::uint64_t instance)
    {
        const bool found = state_.stop(Clock::now(), SlotId::from_key(instance));
        execute_actions();
        return found;
    }

    bool extend(std::uint64_t instance, Clock::time_point until)
    {
        const bool found = state_.extend(SlotId::from_key(instance), until);
        schedule();
        return found;
    }

    Extension extend_ttl(SlotId slot);

    Extension extend_ttl(const Identity& identity)
    {
        const auto slot = state_.find(identity);
        return slot ? extend_ttl(*slot) : Extension();
    }

    void replace_options(const PoolOptions& options)
    {
        state_.replace_options(Clock::now(), adapted(options, traits_));
        execute_actions();
    }

    void drain()
    {
        draining_ = true;
        if (preparing_)
            backend_.interrupt();
        state_.drain(Clock::now());
        execute_actions();
    }

    void close();

    asio::awaitable<void> wait_empty();

    std::vector<InstanceInfo> snapshot() const;

    PoolLoad load() const noexcept { return state_.load(); }

    PoolTraffic traffic() const noexcept;

private:
    /// The start itself.
    asio::awaitable<Result<void>> prepare();

    /// Takes over what a previous run left, or stops it.
    asio::awaitable<void> recover(std::vector<OrphanInstance> leftovers);

    /// False when its identity has an instance already.
    bool adopt(const OrphanInstance& leftover);

    static PoolOptions adapted(PoolOptions options, const BackendTraits& traits);

    // Actions.

    /// Does what the state wants, including what follows from doing it.
    void execute_actions()
    {
        while (auto action = state_.next_action())
            execute_action(*action);
        schedule();
        queue_teller_.tell_later(weak_from_this());
        if (draining_ && state_.empty() && records_.empty())
            empty_.set();
    }

    void execute_action(PoolAction& action);

    const InstanceRecordPtr& record(SlotId slot) const { return records_.at(slot.key()); }

    InstanceRecordPtr add_record(SlotId slot)
    {
        auto record = std::make_shared<InstanceRecord>(control_, slot);
        records_.emplace(slot.key(), record);
        return record;
    }

    void start_instance(const PoolAction& action);

    void assign(const PoolAction& action);

    /// The clients that get the instance.
    InstanceRequest request_for(const PoolAction& action) const;

    void grant(const InstanceRecordPtr& record, const PoolAction& action);

    /// For an instance that cannot be used.
    void refuse_grant(const InstanceRecordPtr& record, const PoolAction& action);

    void release(std::uint64_t instance, std::uint32_t session, bool in_order);

    // What becomes of instances.

    std::shared_ptr<InstanceRunner::Pool> keep_alive() override { return shared_from_this(); }

    void instance_ready(const InstanceRecordPtr& record) override
    {
        state_.ready(Clock::now(), record->slot);
        execute_actions();
    }

    void instance_personalized(const InstanceRecordPtr& record, const Result<void>& personalized) override;

    void instance_start_failed(const InstanceRecordPtr& record, Errc error) override;

    void instance_died(const InstanceRecordPtr& record) override;

    void instance_stopped(const InstanceRecordPtr& record) override
    {
        records_.erase(record->slot.key());
        state_.stopped(Clock::now(), record->slot);
        execute_actions();
    }

    // Time.

    void tick()
    {
        state_.tick(Clock::now());
        execute_actions();
    }

    /// Keeps the timer at or before the state's next deadline.
    void schedule();

    asio::any_io_executor control_;
    std::string service_;
    InstanceBackend& backend_;
    BackendTraits traits_;
    std::shared_ptr<InstanceBudget> budget_;
    PoolState state_;
    asio::steady_timer timer_;
    Users users_;
    AsyncEvent started_;
    AsyncEvent empty_;
    Result<void> start_result_;
    bool starting_ = false;
    std::unordered_map<std::uint64_t, InstanceRecordPtr> records_;
    WaitingClients clients_;
    QueueTeller queue_teller_;
    InstanceRunner runner_;
    std::string start_failure_;  ///< Why the start failed whose clients are being refused.
    bool armed_ = false;
    bool preparing_ = false;
    bool draining_ = false;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/pool_driver.hpp>
#endif
