// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <poll.h>

#include <instancer/detail/async/asio_compat.hpp>
#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/async/one_shot.hpp>
#include <instancer/detail/container/numbered_list.hpp>
#include <instancer/detail/text/exception_text.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/pool_state.hpp>

namespace instancer::detail {

/// Carries out what a PoolState decides. Lives on the control executor.
class PoolDriver final : public Lease::Issuer, public std::enable_shared_from_this<PoolDriver> {
public:
    using Clock = PoolState::Clock;
    using LeaseOneShot = OneShot<Result<Lease>>;

    /// A client that waits for its lease, seen from both of its threads.
    class Pending {
    public:
        Pending(const asio::any_io_executor& executor, AcquireRequest request)
            : executor_(executor), request_(std::move(request)), lease_(std::make_shared<LeaseOneShot>(executor))
        {
        }

        const asio::any_io_executor& executor() const noexcept { return executor_; }
        AcquireRequest& request() noexcept { return request_; }
        LeaseOneShot& lease() const noexcept { return *lease_; }

        WaiterId waiter = 0;  ///< The control executor's own.

    private:
        asio::any_io_executor executor_;
        AcquireRequest request_;
        std::shared_ptr<LeaseOneShot> lease_;
    };

    PoolDriver(asio::any_io_executor control, std::string service, const PoolOptions& options, InstanceBackend& backend,
               Events& events, std::shared_ptr<InstanceBudget> budget)
        : control_(std::move(control)),
          service_(std::move(service)),
          backend_(backend),
          traits_(backend.traits()),
          events_(events),
          budget_(std::move(budget)),
          state_(adapted(options, traits_), Clock::now(), budget_.get()),
          timer_(control_),
          empty_(control_)
    {
    }

    const asio::any_io_executor& control() const noexcept { return control_; }

    asio::awaitable<Result<void>> start()
    {
        if (draining_)
            co_return Result<void>();
        preparing_ = true;
        auto prepared = co_await backend_.prepare();
        preparing_ = false;
        if (!prepared && draining_ &&
            (prepared.error() == Errc::stopping || prepared.error() == Errc::backend_unavailable))
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
            if (draining_ || !adopt(leftover))
                co_await guarded(backend_.stop(leftover.instance()));
        state_.fill_warm(Clock::now());
        execute_actions();
        co_return Result<void>();
    }

    void acquire(const std::shared_ptr<Pending>& pending)
    {
        const auto& request = pending->request();
        const auto now = Clock::now();
        while (const auto slot = state_.wants_activity(now, request.identity()))
            state_.active(now, *slot, record(*slot)->usage->last_active());
        pending->waiter = state_.acquire(now, request.identity(), request.reset());
        pending_.emplace(pending->waiter, pending);
        execute_actions();
    }

    void abandon(const std::shared_ptr<Pending>& pending)
    {
        if (pending_.erase(pending->waiter) == 0)
            return;
        state_.abandon(Clock::now(), pending->waiter);
        execute_actions();
    }

    void give_back(std::uint64_t instance, std::uint32_t session, bool in_order) noexcept override
    {
        asio::post(control_, [weak = weak_from_this(), instance, session, in_order] {
            if (const auto pool = weak.lock())
                pool->release(instance, session, in_order);
        });
    }

    void reset_owner(const Digest& owner)
    {
        state_.reset_owner(Clock::now(), owner);
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

    void close()
    {
        draining_ = closed_ = true;
        backend_.interrupt();
        state_.close(Clock::now());
        execute_actions();
        // No instance may take its time any more to end by itself.
        for (const auto& [key, record] : records_)
            record->wake.cancel();
    }

    asio::awaitable<void> wait_empty() { co_await empty_.wait(); }

    std::vector<InstanceInfo> snapshot() const
    {
        std::vector<InstanceInfo> all;
        for (const auto& [key, record] : records_) {
            InstanceInfo info;
            info.name = record->instance.name();
            info.owner = record->owner;
            info.state = record->state_name();
            info.age = Clock::now() - record->since;
            info.clients = record->sessions.size();
            info.bytes_up = record->usage->bytes_up();
            info.bytes_down = record->usage->bytes_down();
            all.push_back(std::move(info));
        }
        return all;
    }

private:
    /// What there is to an instance beside what the state knows.
    struct Record {
        explicit Record(const asio::any_io_executor& control) : wake(control, Clock::time_point::max()) {}

        SlotId slot;
        Instance instance;
        Stream first;  ///< The connection that proved it ready, until somebody takes it.
        std::shared_ptr<Usage> usage = std::make_shared<Usage>();
        NumberedList<std::function<void(InstanceEnd)>> sessions;  ///< What is called when it is taken from them.
        std::optional<Identity> claimed_by;                       ///< Of a warm instance that was claimed.
        std::string owner;
        Clock::time_point since = Clock::now();
        asio::steady_timer wake;  ///< Cancelled when something below changes.
        const char* state_name() const noexcept
        {
            if (stop_requested)
                return "stopping";
            if (!ready)
                return "starting";
            return owner.empty() ? "warm" : "running";
        }

        bool ready = false;
        bool warm = false;  ///< Was ready before it had a client.
        bool exited = false;
        bool stop_requested = false;
        bool served_in_order = false;  ///< Its last session.
        InstanceEnd end = InstanceEnd::exited;
        std::string exit;  ///< How it ended.
        std::string detail;
    };
    using RecordPtr = std::shared_ptr<Record>;

    static PoolOptions adapted(PoolOptions options, const BackendTraits& traits)
    {
        options.single_use = options.single_use || traits.single_use();
        // No byte is seen, so an instance that is busy would look idle.
        if (traits.takes_client_socket())
            options.idle = PoolOptions::Duration::zero();
        if (traits.max_instances() != 0)
            options.max_instances = options.max_instances == 0
                                        ? traits.max_instances()
                                        : std::min(options.max_instances, traits.max_instances());
        return options;
    }

    // Actions.

    /// Does what the state wants, including what follows from doing it.
    void execute_actions()
    {
        while (auto action = state_.next_action())
            execute_actions(*action);
        schedule();
        if (draining_ && state_.empty() && records_.empty())
            empty_.set();
    }

    void execute_actions(PoolAction& action)
    {
        switch (action.kind) {
        case PoolAction::Kind::start: start_instance(action); break;
        case PoolAction::Kind::assign: assign(action); break;
        case PoolAction::Kind::grant: grant(action); break;
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

    Result<Lease> refusal(const PoolAction& action) const
    {
        const bool failed = action.error == Errc::start_failed || action.error == Errc::backend_unavailable;
        return fail(action.error, failed ? refusal_detail_ : limit_text(action));
    }

    static std::string limit_text(const PoolAction& action)
    {
        std::string text = action.limit;
        if (action.instances != 0)
            text += (text.empty() ? "" : ": ") + std::to_string(action.instances) + " in all, " +
                    std::to_string(action.unused) + " of them unused";
        return text;
    }

    const RecordPtr& record(SlotId slot) const { return records_.at(slot.key()); }

    std::shared_ptr<Pending> take_pending(WaiterId waiter)
    {
        const auto found = pending_.find(waiter);
        if (found == pending_.end())
            return nullptr;
        auto pending = std::move(found->second);
        pending_.erase(found);
        return pending;
    }

    RecordPtr add_record(SlotId slot)
    {
        auto record = std::make_shared<Record>(control_);
        record->slot = slot;
        records_.emplace(slot.key(), record);
        return record;
    }

    void start_instance(const PoolAction& action)
    {
        const auto record = add_record(action.slot);
        InstanceRequest request(service_);
        if (action.waiter == 0) {
            record->warm = true;
        } else {
            record->owner = action.identity.owner().hex();
            if (const auto found = pending_.find(action.waiter); found != pending_.end()) {
                auto& wanted = found->second->request();
                request = InstanceRequest(service_, action.identity, wanted.client());
                request.label(wanted.label());
                request.client_socket() = std::move(wanted.client_socket());
            }
        }
        // A named task: a capturing temporary must not share a full expression with a coroutine.
        auto task = live(record, std::move(request));
        asio::co_spawn(control_, std::move(task), asio::detached);
    }

    void assign(const PoolAction& action)
    {
        const auto& record = this->record(action.slot);
        record->owner = action.identity.owner().hex();
        record->claimed_by = action.identity;
        if (record->ready)
            tell_owner(record);
    }

    void grant(const PoolAction& action)
    {
        const auto record = this->record(action.slot);
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

    /// A server may lose patience with a connection that waited for its client.
    static bool has_hung_up(const Stream& stream)
    {
        pollfd state{stream.native_handle(), POLLRDHUP, 0};
        return state.fd >= 0 && ::poll(&state, 1, 0) == 1;
    }

    void release(std::uint64_t instance, std::uint32_t session, bool in_order)
    {
        const auto found = records_.find(instance);
        if (found == records_.end())
            return;
        found->second->sessions.erase(session);
        found->second->served_in_order = in_order;
        state_.release(Clock::now(), found->second->slot);
        execute_actions();
    }

    static void revoke(const RecordPtr& record, InstanceEnd end)
    {
        for (auto& on_end : record->sessions)
            if (const auto callback = std::exchange(on_end, nullptr))
                callback(end);
    }

    static void request_stop(const RecordPtr& record, InstanceEnd end)
    {
        record->stop_requested = true;
        record->end = end;
        if (end == InstanceEnd::culled)
            record->detail = record->ready && record->sessions.size() == 0 ? "it had no client" : "";
        record->wake.cancel();
    }

    // The life of an instance.

    /// A backend that throws has failed; it does not take the instance's own task with it.
    template <class T>
    static asio::awaitable<Result<T>> guarded(asio::awaitable<Result<T>> call)
    {
        try {
            co_return co_await std::move(call);
        } catch (...) {
            co_return fail(Errc::start_failed, exception_text());
        }
    }

    asio::awaitable<void> live(RecordPtr record, InstanceRequest request)
    {
        const auto self = shared_from_this();
        const auto client = request.client();
        const auto identity = request.identity();
        auto started = co_await guarded(backend_.start(std::move(request)));
        if (!started) {
            record->end = record->stop_requested ? record->end : InstanceEnd::start_failed;
            record->detail = started.error().message();
            const Errc code =
                started.error() == Errc::backend_unavailable ? Errc::backend_unavailable : Errc::start_failed;
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
            if (record->claimed_by)
                tell_owner(record);
            state_.ready(Clock::now(), record->slot);
            execute_actions();
        }
        co_await end(record);
    }

    /// One attempt. What it opened is kept even if the end of the instance is noticed first: its last words are there.
    asio::awaitable<void> open(RecordPtr record, OpenRequest request)
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

    /// Connects until it works. Returns without a connection when the instance ended or is to be stopped.
    asio::awaitable<void> become_ready(RecordPtr record, OpenRequest request)
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

    asio::awaitable<std::string> diagnose(RecordPtr record)
    {
        try {
            co_return co_await backend_.diagnose(record->instance);
        } catch (...) {
            co_return exception_text();
        }
    }

    /// Nobody uses it any more: most programs end by themselves then, and how they do so says more than that we stop
    /// them. Whoever still works has some time.
    asio::awaitable<void> let_finish(RecordPtr record)
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

    /// Waits for the end, whoever brings it about, and cleans up.
    asio::awaitable<void> end(RecordPtr record)
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

    /// Notices the end of an instance at once.
    void watch(const RecordPtr& record)
    {
        auto task = watch_exit(record);
        asio::co_spawn(control_, std::move(task), asio::detached);
    }

    asio::awaitable<void> watch_exit(RecordPtr record)
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

    void tell_owner(const RecordPtr& record)
    {
        events_.instance_claimed(service_, record->instance.name(), record->owner);
        auto task = assign(record);
        asio::co_spawn(control_, std::move(task), asio::detached);
    }

    asio::awaitable<void> assign(RecordPtr record)
    {
        const auto self = shared_from_this();
        const auto told = co_await guarded(backend_.assign(record->instance, *record->claimed_by));
        if (!told)
            events_.warning(service_, "assigning " + record->instance.name() + ": " + told.error().message());
    }

    /// False when its identity has an instance already.
    bool adopt(const OrphanInstance& leftover)
    {
        const auto slot = state_.adopt(Clock::now(), leftover.identity(), leftover.age());
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

    asio::awaitable<void> keep(RecordPtr record)
    {
        const auto self = shared_from_this();
        co_await end(record);
    }

    /// Reports the end of an instance and forgets it.
    void report_and_erase(const RecordPtr& record)
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

    // Time.

    void tick()
    {
        state_.tick(Clock::now());
        execute_actions();
    }

    /// Keeps the timer at or before the state's next deadline.
    void schedule()
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

    asio::any_io_executor control_;
    std::string service_;
    InstanceBackend& backend_;
    BackendTraits traits_;
    Events& events_;
    std::shared_ptr<InstanceBudget> budget_;
    PoolState state_;
    asio::steady_timer timer_;
    AsyncEvent empty_;
    std::unordered_map<std::uint64_t, RecordPtr> records_;
    std::unordered_map<WaiterId, std::shared_ptr<Pending>> pending_;
    std::string refusal_detail_;  ///< Why the start failed whose clients are being refused.
    bool armed_ = false;
    bool preparing_ = false;
    bool draining_ = false;
    bool closed_ = false;
};

}  // namespace instancer::detail
