// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/post.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/pool/pool_driver.hpp>
#include <instancer/text/exception_text.hpp>

namespace instancer::detail {

INSTANCER_DECL PoolDriver::PoolDriver(asio::any_io_executor control, std::string service, const PoolOptions& options,
                                      InstanceBackend& backend, Events& events, std::shared_ptr<InstanceBudget> budget)
    : control_(std::move(control)),
      service_(std::move(service)),
      backend_(backend),
      traits_(backend.traits()),
      budget_(std::move(budget)),
      state_(adapted(options, traits_), Clock::now(), budget_.get()),
      timer_(control_),
      started_(control_),
      empty_(control_),
      queue_teller_(control_, state_, clients_),
      runner_(control_, service_, backend, events, *this)
{
}

INSTANCER_DECL asio::awaitable<Result<void>> PoolDriver::start()
{
    const auto self = shared_from_this();
    if (!std::exchange(starting_, true)) {
        // Every server that shares the pool waits for this, whatever happens.
        try {
            auto result = co_await prepare();
            start_result_ = std::move(result);
        } catch (...) {
            start_result_ = fail(Errc::start_failed, exception_text());
        }
        started_.set();
    }
    co_await started_.wait();
    if (!started_.is_set())
        co_return fail(Errc::cancelled);
    co_return start_result_;
}

INSTANCER_DECL asio::awaitable<Result<void>> PoolDriver::prepare()
{
    if (draining_)
        co_return Result<void>();
    preparing_ = true;
    auto prepared = co_await backend_.prepare();
    preparing_ = false;
    if (!prepared && draining_ && (prepared.error() == Errc::stopping || prepared.error() == Errc::backend_unavailable))
        co_return Result<void>();
    if (!prepared)
        co_return prepared;
    auto leftovers = co_await backend_.recover(service_);
    if (!leftovers)
        co_return fail(std::move(leftovers.error()));
    state_.on_wake([weak = weak_from_this()] {
        if (const auto self = weak.lock())
            asio::post(self->control_, [self] { self->tick(); });
    });
    co_await recover(std::move(*leftovers));
    state_.fill_warm(Clock::now());
    execute_actions();
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::recover(std::vector<OrphanInstance> leftovers)
{
    // The order in which they got their owners.
    std::sort(leftovers.begin(), leftovers.end(),
              [](const OrphanInstance& a, const OrphanInstance& b) { return a.age() > b.age(); });
    for (const OrphanInstance& leftover : leftovers)
        if (draining_ || !adopt(leftover))
            co_await runner_.stop(leftover.instance());
}

INSTANCER_DECL bool PoolDriver::adopt(const OrphanInstance& leftover)
{
    const auto slot = state_.adopt(Clock::now(), leftover.identity(), leftover.age(), leftover.extended());
    if (!slot)
        return false;
    const auto record = add_record(*slot);
    record->instance = leftover.instance();
    record->owner = leftover.identity().owner().hex();
    record->since = Clock::now() - leftover.age();
    runner_.adopt(record);
    return true;
}

INSTANCER_DECL void PoolDriver::acquire(const WaitingClientPtr& client)
{
    const auto& request = client->request();
    if (request.join_only() && state_.would_start(request.identity(), request.reset())) {
        const auto refusal = state_.foresee_refusal(request.identity(), request.reset(), request.common_owner());
        client->lease().complete(fail(refusal ? WaitingClients::refusal_of(*refusal) : Error(Errc::no_instance)));
        return;
    }
    const auto now = Clock::now();
    while (const auto slot = state_.wants_activity(now, request.identity()))
        state_.active(now, *slot, record(*slot)->usage->last_active());
    if (request.on_queue())
        queue_teller_.enable();
    clients_.add(state_.acquire(now, request.identity(), request.reset(), request.common_owner()), client);
    execute_actions();
}

INSTANCER_DECL void PoolDriver::give_back(std::uint64_t instance, std::uint32_t session, bool in_order) noexcept
{
    asio::post(control_, [weak = weak_from_this(), instance, session, in_order] {
        if (const auto pool = weak.lock())
            pool->release(instance, session, in_order);
    });
}

INSTANCER_DECL Extension PoolDriver::extend_ttl(SlotId slot)
{
    const auto extension = state_.extend_ttl(Clock::now(), slot);
    if (extension.answer != Extension::Answer::granted)
        return extension;
    schedule();
    runner_.note_extension(record(slot), extension.total);
    return extension;
}

INSTANCER_DECL void PoolDriver::close()
{
    draining_ = true;
    backend_.interrupt();
    state_.close(Clock::now());
    execute_actions();
    for (const auto& [key, record] : records_)
        record->hurry();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::wait_empty() { co_await empty_.wait(); }

INSTANCER_DECL std::vector<InstanceInfo> PoolDriver::snapshot() const
{
    std::vector<InstanceInfo> all;
    for (const auto& [key, record] : records_) {
        all.push_back(record->info());
        if (const auto deadline = state_.deadline_of(record->slot))
            all.back().time_left = *deadline - Clock::now();
    }
    return all;
}

INSTANCER_DECL PoolTraffic PoolDriver::traffic() const noexcept
{
    PoolTraffic traffic;
    for (const auto& [key, record] : records_) {
        traffic.bytes_up += record->usage->bytes_up();
        traffic.bytes_down += record->usage->bytes_down();
    }
    return traffic;
}

INSTANCER_DECL PoolOptions PoolDriver::adapted(PoolOptions options, const BackendTraits& traits)
{
    options.single_use = options.single_use || traits.single_use();
    // No byte is seen, so an instance that is busy would look idle.
    if (traits.takes_client_socket())
        options.idle = PoolOptions::Duration::zero();
    if (traits.max_instances() != 0)
        options.max_instances = options.max_instances == 0 ? traits.max_instances()
                                                           : std::min(options.max_instances, traits.max_instances());
    return options;
}

INSTANCER_DECL void PoolDriver::execute_action(PoolAction& action)
{
    switch (action.kind) {
    case PoolAction::Kind::start: start_instance(action); break;
    case PoolAction::Kind::assign: assign(action); break;
    case PoolAction::Kind::grant: grant(record(action.slot), action); break;
    case PoolAction::Kind::refuse: clients_.refuse(action, start_failure_); break;
    case PoolAction::Kind::revoke: record(action.slot)->revoke(action.end); break;
    case PoolAction::Kind::stop: record(action.slot)->request_stop(action.end); break;
    case PoolAction::Kind::warn: record(action.slot)->warn(action.coming); break;
    case PoolAction::Kind::check_activity:
        state_.active(Clock::now(), action.slot, record(action.slot)->usage->last_active());
        break;
    }
}

INSTANCER_DECL void PoolDriver::start_instance(const PoolAction& action)
{
    const auto record = add_record(action.slot);
    InstanceRequest request(service_);
    if (action.waiter == 0) {
        record->warm = true;
    } else {
        record->owner = action.identity.owner().hex();
        if (const auto client = clients_.find(action.waiter)) {
            request = request_for(action);
            request.client_socket() = std::move(client->request().client_socket());
        }
    }
    runner_.start(record, std::move(request));
}

INSTANCER_DECL void PoolDriver::assign(const PoolAction& action)
{
    runner_.assign(record(action.slot), request_for(action));
}

INSTANCER_DECL InstanceRequest PoolDriver::request_for(const PoolAction& action) const
{
    const auto client = clients_.find(action.waiter);
    if (!client)
        return InstanceRequest(service_, action.identity, ClientInfo());
    const auto& wanted = client->request();
    InstanceRequest request(service_, action.identity, wanted.client());
    request.label(wanted.label());
    request.environment(wanted.environment());
    return request;
}

INSTANCER_DECL void PoolDriver::grant(const InstanceRecordPtr& record, const PoolAction& action)
{
    if (record->personalizing) {
        record->held_grants.push_back(action);
        return;
    }
    const auto client = clients_.take(action.waiter);
    if (!client) {
        state_.release(Clock::now(), action.slot);
        return;
    }
    auto stream = record->take_first(client->executor());
    const auto session = record->add_session(client->request());
    Lease lease(record->instance, record->usage, std::move(stream), weak_from_this(), action.slot.key(), session);
    lease.start_time(record->start_time(client->since()));
    client->lease().complete(std::move(lease));
}

INSTANCER_DECL void PoolDriver::refuse_grant(const InstanceRecordPtr& record, const PoolAction& action)
{
    if (const auto client = clients_.take(action.waiter))
        client->lease().complete(fail(Errc::start_failed, record->detail));
    state_.release(Clock::now(), action.slot);
}

INSTANCER_DECL void PoolDriver::release(std::uint64_t instance, std::uint32_t session, bool in_order)
{
    const auto found = records_.find(instance);
    if (found == records_.end())
        return;
    found->second->remove_session(session);
    found->second->served_in_order = in_order;
    state_.release(Clock::now(), found->second->slot);
    execute_actions();
}

INSTANCER_DECL void PoolDriver::instance_personalized(const InstanceRecordPtr& record, const Result<void>& personalized)
{
    const auto held = std::exchange(record->held_grants, {});
    if (!personalized && !record->stop_requested) {
        state_.stop(Clock::now(), record->slot);
        execute_actions();
        record->end = InstanceEnd::start_failed;
        record->detail = personalized.error().message();
    }
    for (const auto& action : held)
        if (personalized)
            grant(record, action);
        else
            refuse_grant(record, action);
    // What came to an end meanwhile ends these sessions as well.
    if (record->stop_requested)
        record->revoke(record->end);
    execute_actions();
}

INSTANCER_DECL void PoolDriver::instance_start_failed(const InstanceRecordPtr& record, Errc error)
{
    records_.erase(record->slot.key());
    start_failure_ = record->detail;
    state_.start_failed(Clock::now(), record->slot, error);
    execute_actions();
    start_failure_.clear();
}

INSTANCER_DECL void PoolDriver::instance_died(const InstanceRecordPtr& record)
{
    start_failure_ = record->detail;
    state_.died(Clock::now(), record->slot);
    execute_actions();
    start_failure_.clear();
}

INSTANCER_DECL void PoolDriver::schedule()
{
    const auto deadline = state_.next_deadline();
    if (!deadline || (armed_ && timer_.expiry() <= *deadline))
        return;
    armed_ = true;
    timer_.expires_at(*deadline);
    timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
        if (error)
            return;  // Re-armed for earlier.
        if (const auto self = weak.lock()) {
            self->armed_ = false;
            self->tick();
        }
    });
}

}  // namespace instancer::detail
