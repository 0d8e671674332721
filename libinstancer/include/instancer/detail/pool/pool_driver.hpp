// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
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
#include <asio/steady_timer.hpp>
#include <poll.h>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/detail/container/numbered_list.hpp>
#include <instancer/events.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_info.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/pool_state.hpp>
#include <instancer/text/exception_text.hpp>

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
               Events& events, std::shared_ptr<InstanceBudget> budget);

    const asio::any_io_executor& control() const noexcept { return control_; }

    /// How many share the pool and have not closed it.
    struct Users {
        std::size_t active = 0;
        std::size_t draining = 0;
    };
    Users& users() noexcept { return users_; }

    /// Starts once; whoever calls it later shares the result.
    asio::awaitable<Result<void>> start();

    void acquire(const std::shared_ptr<Pending>& pending);

    void abandon(const std::shared_ptr<Pending>& pending)
    {
        if (pending_.erase(pending->waiter) == 0)
            return;
        state_.abandon(Clock::now(), pending->waiter);
        execute_actions();
    }

    void give_back(std::uint64_t instance, std::uint32_t session, bool in_order) noexcept override;

    void reset_owner(const Digest& owner)
    {
        state_.reset_owner(Clock::now(), owner);
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

private:
    /// What there is to an instance beside what the state knows.
    struct Record {
        explicit Record(const asio::any_io_executor& control) : wake(control, Clock::time_point::max()) {}

        const char* state_name() const noexcept
        {
            if (stop_requested)
                return "stopping";
            if (!ready)
                return "starting";
            return owner.empty() ? "warm" : "running";
        }

        SlotId slot;
        Instance instance;
        Stream first;  ///< The connection that proved it ready, until somebody takes it.
        std::shared_ptr<Usage> usage = std::make_shared<Usage>();
        NumberedList<std::function<void(InstanceEnd)>> sessions;  ///< What is called when it is taken from them.
        std::optional<InstanceRequest> claim;                     ///< Of a warm instance that was claimed.
        std::vector<PoolAction> held_grants;                      ///< Until it is personalized.
        std::string owner;
        Clock::time_point since = Clock::now();
        asio::steady_timer wake;  ///< Cancelled when something below changes.
        bool ready = false;
        bool warm = false;  ///< Was ready before it had a client.
        bool personalizing = false;
        bool exited = false;
        bool stop_requested = false;
        bool served_in_order = false;  ///< Its last session.
        InstanceEnd end = InstanceEnd::exited;
        std::string exit;  ///< How it ended.
        std::string detail;
    };
    using RecordPtr = std::shared_ptr<Record>;

    /// The start itself.
    asio::awaitable<Result<void>> prepare();

    static PoolOptions adapted(PoolOptions options, const BackendTraits& traits);

    // Actions.

    /// Does what the state wants, including what follows from doing it.
    void execute_actions()
    {
        while (auto action = state_.next_action())
            execute_action(*action);
        schedule();
        if (draining_ && state_.empty() && records_.empty())
            empty_.set();
    }

    void execute_action(PoolAction& action);

    Result<Lease> refusal(const PoolAction& action) const
    {
        const bool failed = action.error == Errc::start_failed || action.error == Errc::backend_unavailable;
        return fail(action.error, failed ? refusal_detail_ : limit_text(action));
    }

    static std::string limit_text(const PoolAction& action);

    const RecordPtr& record(SlotId slot) const { return records_.at(slot.key()); }

    std::shared_ptr<Pending> take_pending(WaiterId waiter);

    RecordPtr add_record(SlotId slot)
    {
        auto record = std::make_shared<Record>(control_);
        record->slot = slot;
        records_.emplace(slot.key(), record);
        return record;
    }

    void start_instance(const PoolAction& action);

    void assign(const PoolAction& action);

    void grant(const RecordPtr& record, const PoolAction& action);

    /// For an instance that cannot be used.
    void refuse_grant(const RecordPtr& record, const PoolAction& action);

    /// Who gets the instance.
    InstanceRequest request_for(const PoolAction& action) const;

    /// A server may lose patience with a connection that waited for its client.
    static bool has_hung_up(const Stream& stream)
    {
        pollfd state{stream.native_handle(), POLLRDHUP, 0};
        return state.fd >= 0 && ::poll(&state, 1, 0) == 1;
    }

    void release(std::uint64_t instance, std::uint32_t session, bool in_order);

    static void revoke(const RecordPtr& record, InstanceEnd end)
    {
        for (auto& on_end : record->sessions)
            if (const auto callback = std::exchange(on_end, nullptr))
                callback(end);
    }

    static void request_stop(const RecordPtr& record, InstanceEnd end);

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

    asio::awaitable<void> live(RecordPtr record, InstanceRequest request);

    /// One attempt. What it opened is kept even if the end of the instance is noticed first: its last words are there.
    asio::awaitable<void> open(RecordPtr record, OpenRequest request);

    /// Connects until it works. Returns without a connection when the instance ended or is to be stopped.
    asio::awaitable<void> become_ready(RecordPtr record, OpenRequest request);

    asio::awaitable<std::string> diagnose(RecordPtr record);

    /// Nobody uses it any more: most programs end by themselves then, and how they do so says more than that we stop
    /// them. Whoever still works has some time.
    asio::awaitable<void> let_finish(RecordPtr record);

    /// Waits for the end, whoever brings it about, and cleans up.
    asio::awaitable<void> end(RecordPtr record);

    /// Notices the end of an instance at once.
    void watch(const RecordPtr& record)
    {
        auto task = watch_exit(record);
        asio::co_spawn(control_, std::move(task), asio::detached);
    }

    asio::awaitable<void> watch_exit(RecordPtr record);

    void tell_owner(const RecordPtr& record);

    asio::awaitable<void> assign(RecordPtr record);

    asio::awaitable<Result<void>> personalize(RecordPtr record);

    /// Gives the clients their answer who came while it was being personalized.
    void settle_grants(const RecordPtr& record, const Result<void>& personalized);

    asio::awaitable<void> note_extension(RecordPtr record, std::chrono::seconds total);

    /// False when its identity has an instance already.
    bool adopt(const OrphanInstance& leftover);

    asio::awaitable<void> keep(RecordPtr record);

    /// Reports the end of an instance and forgets it.
    void report_and_erase(const RecordPtr& record);

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
    Events& events_;
    std::shared_ptr<InstanceBudget> budget_;
    PoolState state_;
    asio::steady_timer timer_;
    Users users_;
    AsyncEvent started_;
    AsyncEvent empty_;
    Result<void> start_result_;
    bool starting_ = false;
    std::unordered_map<std::uint64_t, RecordPtr> records_;
    std::unordered_map<WaiterId, std::shared_ptr<Pending>> pending_;
    std::string refusal_detail_;  ///< Why the start failed whose clients are being refused.
    bool armed_ = false;
    bool preparing_ = false;
    bool draining_ = false;
    bool closed_ = false;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/pool_driver.hpp>
#endif
