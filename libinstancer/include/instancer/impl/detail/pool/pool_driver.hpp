// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/pool/pool_driver.hpp>

namespace instancer::detail {

INSTANCER_DECL PoolDriver::PoolDriver(asio::any_io_executor control, std::string service, const PoolOptions& options,
                                      InstanceBackend& backend, Events& events, std::shared_ptr<InstanceBudget> budget)
    : control_(std::move(control)),
      service_(std::move(service)),
      backend_(backend),
      traits_(backend.traits()),
      events_(events),
      budget_(std::move(budget)),
      state_(adapted(options, traits_), Clock::now(), budget_.get()),
      timer_(control_),
      started_(control_),
      empty_(control_)
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
    // The order in which they got their owners.
    std::sort(leftovers->begin(), leftovers->end(),
              [](const OrphanInstance& a, const OrphanInstance& b) { return a.age() > b.age(); });
    for (const OrphanInstance& leftover : *leftovers)
        if (draining_ || !adopt(leftover)) {
            const auto stopped = co_await guarded(backend_.stop(leftover.instance()));
            if (!stopped)
                events_.warning(service_, "stopping " + leftover.instance().name() + ": " + stopped.error().message());
        }
    state_.fill_warm(Clock::now());
    execute_actions();
    co_return Result<void>();
}

INSTANCER_DECL void PoolDriver::acquire(const std::shared_ptr<Pending>& pending)
{
    const auto& request = pending->request();
    const auto now = Clock::now();
    while (const auto slot = state_.wants_activity(now, request.identity()))
        state_.active(now, *slot, record(*slot)->usage->last_active());
    pending->waiter = state_.acquire(now, request.identity(), request.reset());
    pending_.emplace(pending->waiter, pending);
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
    auto task = note_extension(record(slot), extension.total);
    asio::co_spawn(control_, std::move(task), asio::detached);
    return extension;
}

INSTANCER_DECL void PoolDriver::close()
{
    draining_ = closed_ = true;
    backend_.interrupt();
    state_.close(Clock::now());
    execute_actions();
    // No instance may take its time any more to end by itself.
    for (const auto& [key, record] : records_)
        record->wake.cancel();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::wait_empty() { co_await empty_.wait(); }

INSTANCER_DECL std::vector<InstanceInfo> PoolDriver::snapshot() const
{
    std::vector<InstanceInfo> all;
    for (const auto& [key, record] : records_) {
        InstanceInfo info;
        info.id = key;
        info.name = record->instance.name();
        info.owner = record->owner;
        info.state = record->state_name();
        info.age = Clock::now() - record->since;
        if (const auto deadline = state_.deadline_of(record->slot))
            info.time_left = *deadline - Clock::now();
        info.clients = record->sessions.size();
        info.bytes_up = record->usage->bytes_up();
        info.bytes_down = record->usage->bytes_down();
        all.push_back(std::move(info));
    }
    return all;
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
    case PoolAction::Kind::refuse:
        if (const auto pending = take_pending(action.waiter))
            pending->lease().complete(refusal(action));
        break;
    case PoolAction::Kind::revoke: revoke(record(action.slot), action.end); break;
    case PoolAction::Kind::stop: request_stop(record(action.slot), action.end); break;
    case PoolAction::Kind::check_activity:
        state_.active(Clock::now(), action.slot, record(action.slot)->usage->last_active());
        break;
    }
}

INSTANCER_DECL std::string PoolDriver::limit_text(const PoolAction& action)
{
    std::string text = action.limit;
    if (action.instances != 0)
        text += (text.empty() ? "" : ": ") + std::to_string(action.instances) + " in all, " +
                std::to_string(action.unused) + " of them unused";
    return text;
}

INSTANCER_DECL std::shared_ptr<PoolDriver::Pending> PoolDriver::take_pending(WaiterId waiter)
{
    const auto found = pending_.find(waiter);
    if (found == pending_.end())
        return nullptr;
    auto pending = std::move(found->second);
    pending_.erase(found);
    return pending;
}

INSTANCER_DECL void PoolDriver::start_instance(const PoolAction& action)
{
    const auto record = add_record(action.slot);
    InstanceRequest request(service_);
    if (action.waiter == 0) {
        record->warm = true;
    } else {
        record->owner = action.identity.owner().hex();
        if (const auto found = pending_.find(action.waiter); found != pending_.end()) {
            request = request_for(action);
            request.client_socket() = std::move(found->second->request().client_socket());
        }
    }
    // A named task: a capturing temporary must not share a full expression with a coroutine.
    auto task = live(record, std::move(request));
    asio::co_spawn(control_, std::move(task), asio::detached);
}

INSTANCER_DECL InstanceRequest PoolDriver::request_for(const PoolAction& action) const
{
    const auto found = pending_.find(action.waiter);
    if (found == pending_.end())
        return InstanceRequest(service_, action.identity, ClientInfo());
    const auto& wanted = found->second->request();
    InstanceRequest request(service_, action.identity, wanted.client());
    request.label(wanted.label());
    return request;
}

INSTANCER_DECL void PoolDriver::assign(const PoolAction& action)
{
    const auto& record = this->record(action.slot);
    record->owner = action.identity.owner().hex();
    record->claim = request_for(action);
    if (record->ready)
        tell_owner(record);
}

INSTANCER_DECL void PoolDriver::grant(const RecordPtr& record, const PoolAction& action)
{
    if (record->personalizing) {
        record->held_grants.push_back(action);
        return;
    }
    const auto pending = take_pending(action.waiter);
    if (!pending) {
        state_.release(Clock::now(), action.slot);
        return;
    }
    Stream stream = std::exchange(record->first, Stream());
    if (stream && record->warm && has_hung_up(stream))
        stream = Stream();
    if (stream && !stream.rebind(pending->executor()))
        stream = Stream();
    const auto session = record->sessions.add(pending->request().on_end());
    pending->lease().complete(
        Lease(record->instance, record->usage, std::move(stream), weak_from_this(), action.slot.key(), session));
}

INSTANCER_DECL void PoolDriver::refuse_grant(const RecordPtr& record, const PoolAction& action)
{
    if (const auto pending = take_pending(action.waiter))
        pending->lease().complete(fail(Errc::start_failed, record->detail));
    state_.release(Clock::now(), action.slot);
}

INSTANCER_DECL void PoolDriver::release(std::uint64_t instance, std::uint32_t session, bool in_order)
{
    const auto found = records_.find(instance);
    if (found == records_.end())
        return;
    found->second->sessions.erase(session);
    found->second->served_in_order = in_order;
    state_.release(Clock::now(), found->second->slot);
    execute_actions();
}

INSTANCER_DECL void PoolDriver::request_stop(const RecordPtr& record, InstanceEnd end)
{
    record->stop_requested = true;
    record->end = end;
    if (end == InstanceEnd::culled)
        record->detail = record->ready && record->sessions.size() == 0 ? "it had no client" : "";
    record->wake.cancel();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::live(RecordPtr record, InstanceRequest request)
{
    const auto self = shared_from_this();
    const auto client = request.client();
    const auto identity = request.identity();
    auto started = co_await guarded(backend_.start(std::move(request)));
    if (!started) {
        record->end = record->stop_requested ? record->end : InstanceEnd::start_failed;
        record->detail = started.error().message();
        const Errc code = started.error() == Errc::backend_unavailable ? Errc::backend_unavailable : Errc::start_failed;
        report_and_erase(record);
        refusal_detail_ = record->detail;
        state_.start_failed(Clock::now(), record->slot, code);
        execute_actions();
        refusal_detail_.clear();
        co_return;
    }
    record->instance = std::move(*started);
    events_.instance_started(service_, record->instance.name(), record->owner);
    watch(record);
    OpenRequest open_request;
    if (identity && client)
        open_request = OpenRequest(*identity, *client);
    if (!traits_.takes_client_socket() && !traits_.ready_at_start())
        co_await become_ready(record, std::move(open_request));
    if (!record->stop_requested && (record->first || !record->exited)) {
        record->ready = true;
        if (record->claim)
            tell_owner(record);
        state_.ready(Clock::now(), record->slot);
        execute_actions();
    }
    co_await end(record);
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::open(RecordPtr record, OpenRequest request)
{
    // Backends need not expect that a cancellation throws.
    co_await asio::this_coro::throw_if_cancelled(false);
    auto stream = co_await guarded(backend_.open(record->instance, std::move(request)));
    if (stream) {
        record->first = std::move(*stream);
    } else if (!record->exited) {
        record->detail = stream.error().message();
        // No later attempt would fare better.
        record->exited = stream.error() == Errc::instance_gone || stream.error() == Errc::start_failed;
    }
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::become_ready(RecordPtr record, OpenRequest request)
{
    using namespace asio::experimental::awaitable_operators;
    auto pause = std::chrono::microseconds(500);
    while (!record->stop_requested) {
        // Not even an attempt that gets no answer may hold up the end.
        record->wake.expires_at(Clock::time_point::max());
        co_await (open(record, request) || record->wake.async_wait(as_result));
        if (record->first || record->stop_requested || record->exited)
            co_return;
        record->wake.expires_after(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(50'000));
        co_await record->wake.async_wait(as_result);
    }
}

INSTANCER_DECL asio::awaitable<std::string> PoolDriver::diagnose(RecordPtr record)
{
    try {
        co_return co_await backend_.diagnose(record->instance);
    } catch (...) {
        co_return exception_text();
    }
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::let_finish(RecordPtr record)
{
    const auto most = traits_.finish_time();
    const auto moment = BackendTraits::a_moment;
    record->wake.expires_after(record->served_in_order ? most : std::min(most, moment));
    while (!record->exited && !closed_ && Clock::now() < record->wake.expiry())
        co_await record->wake.async_wait(as_result);
    if (record->exited) {
        record->end = InstanceEnd::exited;
        record->detail = record->exit;
    }
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::end(RecordPtr record)
{
    while (!record->stop_requested && !record->exited) {
        record->wake.expires_at(Clock::time_point::max());
        co_await record->wake.async_wait(as_result);
    }
    if (!record->stop_requested) {
        refusal_detail_ = record->detail;
        state_.died(Clock::now(), record->slot);
        execute_actions();
        refusal_detail_.clear();
    }
    if (record->stop_requested && record->end == InstanceEnd::unused)
        co_await let_finish(record);
    if (record->end == InstanceEnd::start_timeout || record->end == InstanceEnd::start_failed ||
        record->end == InstanceEnd::exited) {
        const auto reason = co_await diagnose(record);
        if (!reason.empty())
            record->detail += "\n" + reason;
    }
    while (record->personalizing) {
        record->wake.expires_at(Clock::time_point::max());
        co_await record->wake.async_wait(as_result);
    }
    // A reset, and before the instance ends: so that its port is free again at once.
    if (record->first)
        record->first.abort();
    const auto stopped = co_await guarded(backend_.stop(record->instance));
    if (!stopped)
        events_.warning(service_, "stopping " + record->instance.name() + ": " + stopped.error().message());
    report_and_erase(record);
    state_.stopped(Clock::now(), record->slot);
    execute_actions();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::watch_exit(RecordPtr record)
{
    const auto self = shared_from_this();
    try {
        const auto exit = co_await backend_.wait(record->instance);
        record->exit = exit.text();
    } catch (...) {
        record->exit = exception_text();
    }
    record->exited = true;
    if (!record->stop_requested)
        record->detail = record->exit;
    record->wake.cancel();
}

INSTANCER_DECL void PoolDriver::tell_owner(const RecordPtr& record)
{
    events_.instance_claimed(service_, record->instance.name(), record->owner);
    record->personalizing = traits_.personalizes();
    auto task = assign(record);
    asio::co_spawn(control_, std::move(task), asio::detached);
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::assign(RecordPtr record)
{
    const auto self = shared_from_this();
    const Identity owner = *record->claim->identity();
    if (record->personalizing) {
        const auto personalized = co_await personalize(record);
        if (!personalized)
            co_return;
    }
    const auto told = co_await guarded(backend_.assign(record->instance, owner));
    if (!told)
        events_.warning(service_, "assigning " + record->instance.name() + ": " + told.error().message());
}

INSTANCER_DECL asio::awaitable<Result<void>> PoolDriver::personalize(RecordPtr record)
{
    // The grants that come with the claim are held before it is done.
    co_await asio::post(control_, asio::use_awaitable);
    auto request = std::move(*record->claim);
    auto done = co_await guarded(backend_.personalize(record->instance, std::move(request)));
    record->personalizing = false;
    settle_grants(record, done);
    record->wake.cancel();
    co_return done;
}

INSTANCER_DECL void PoolDriver::settle_grants(const RecordPtr& record, const Result<void>& personalized)
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
        revoke(record, record->end);
    execute_actions();
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::note_extension(RecordPtr record, std::chrono::seconds total)
{
    const auto self = shared_from_this();
    const auto noted = co_await guarded(backend_.note_extension(record->instance, total));
    if (!noted)
        events_.warning(service_, "extending " + record->instance.name() + ": " + noted.error().message());
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
    record->ready = true;
    events_.instance_adopted(service_, record->instance.name(), record->owner);
    watch(record);
    auto task = keep(record);
    asio::co_spawn(control_, std::move(task), asio::detached);
    return true;
}

INSTANCER_DECL asio::awaitable<void> PoolDriver::keep(RecordPtr record)
{
    const auto self = shared_from_this();
    co_await end(record);
}

INSTANCER_DECL void PoolDriver::report_and_erase(const RecordPtr& record)
{
    InstanceSummary summary;
    summary.service = service_;
    summary.name = record->instance.name();
    summary.owner = record->owner;
    summary.end = record->end;
    const bool in_order = record->stop_requested && record->end != InstanceEnd::start_failed &&
                          record->end != InstanceEnd::start_timeout && record->end != InstanceEnd::exited &&
                          record->end != InstanceEnd::culled;
    if (!in_order)
        summary.detail = record->detail;
    summary.age = Clock::now() - record->since;
    summary.bytes_up = record->usage->bytes_up();
    summary.bytes_down = record->usage->bytes_down();
    events_.instance_ended(summary);
    records_.erase(record->slot.key());
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
