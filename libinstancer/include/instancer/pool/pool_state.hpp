// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include <instancer/detail/pool/timer_wheel.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/extension.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/occupancy.hpp>
#include <instancer/pool/pool_action.hpp>
#include <instancer/pool/pool_load.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/time_limits.hpp>
#include <instancer/pool/victims.hpp>
#include <instancer/pool/wait_queue.hpp>
#include <instancer/pool/waiter_table.hpp>
#include <instancer/pool/warm_stock.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Every decision of an InstancePool and nothing else: events go in with the time, actions come out. It starts
/// nothing, waits for nothing and reads no clock.
///
/// Each event function is followed by taking the actions with `next_action()` until there is none.
///
/// Time: every event takes constant time, on average over many, and apart from what it does for the clients and the
/// instances that it names; `drain` and `close` visit all.
/// Threads: one at a time.
class PoolState final : private InstanceBudget::Member, private OwnerBudgetMember {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;
    /// A moment on it.
    using Time = Clock::time_point;
    /// A span of time.
    using Duration = Clock::duration;

    /// Lifetime: `budget`, if any, must outlive the state.
    PoolState(const PoolOptions& options, Time now, InstanceBudget* budget = nullptr);
    PoolState(const PoolState&) = delete;
    PoolState& operator=(const PoolState&) = delete;
    ~PoolState();

    /// Sets what is called when other pools of the budget make it necessary to `tick`; it must not do so at once.
    void on_wake(std::function<void()> callback) { on_wake_ = std::move(callback); }

    // Events.

    /// A client wants a session. With `reset` every instance of its owner goes first. The pools of the budget know its
    /// owner as `common_owner`; without one, what that has elsewhere does not count.
    WaiterId acquire(Time now, const Identity& identity, bool reset = false,
                     const std::optional<Digest>& common_owner = std::nullopt);

    /// The client left before it was granted or refused anything.
    void abandon(Time now, WaiterId waiter);

    /// A session that was granted is over.
    void release(Time now, SlotId slot);

    /// The start in `slot` succeeded and the instance accepts sessions.
    void ready(Time now, SlotId slot);

    /// The start in `slot` failed and left nothing behind.
    void start_failed(Time now, SlotId slot, Errc error = Errc::start_failed);

    /// The instance in `slot` ended by itself.
    void died(Time now, SlotId slot);

    /// The instance in `slot`, which was to be stopped, has gone.
    void stopped(Time now, SlotId slot)
    {
        if (const std::uint32_t index = table_.find(slot); index != none)
            gone(now, index);
    }

    /// The last byte on `slot` passed at `last`.
    void active(Time now, SlotId slot, Time last);

    /// Stops every instance of `owner` and refuses its clients that wait for one to start.
    void reset_owner(Time now, const Digest& owner)
    {
        stop_owner(owner);
        admit_waiting(now);
    }

    /// As `reset_owner`, and refuses its clients that wait for room as well.
    void remove_owner(Time now, const Digest& owner)
    {
        refuse_queued(owner);
        reset_owner(now, owner);
    }

    /// Stops the instance in `slot`, also one in use; clients that wait for its start are refused. False when there is
    /// none, or it is being stopped already.
    bool stop(Time now, SlotId slot);

    /// No time limit ends the instance in `slot` before `until`; it can still make room for others. Another time than
    /// before replaces that one. False when there is none, or it is being stopped.
    bool extend(SlotId slot, Time until);

    /// The owner of the instance in `slot` wants it to live longer than its `ttl`.
    Extension extend_ttl(Time now, SlotId slot);

    /// The instance of `identity`, or what becomes one; none when it has none.
    std::optional<SlotId> find(const Identity& identity) const;

    /// Decides by other options from now on. Nothing ends for that but warm instances beyond their number: instances
    /// that exist keep their time limits, clients that wait keep their place. `single_use` stays as it was.
    ///
    /// Time: by the number of instances and owners.
    void replace_options(Time now, PoolOptions options);

    /// Takes in an instance that runs already, `age` after it got its owner, whose time to live was `extended`. It may
    /// exceed the caps. Empty when its identity has one. The oldest comes first.
    std::optional<SlotId> adopt(Time now, const Identity& identity, Duration age,
                                std::chrono::seconds extended = std::chrono::seconds(0));

    /// The time has come that `next_deadline()` named, or `on_wake` was called.
    void tick(Time now);

    /// No new clients and no warm instances from now on; an instance goes when its last client leaves.
    void drain(Time now);

    /// Everything ends now.
    void close(Time now);

    /// Begins to start warm instances. Call it once, after what was left behind has been adopted.
    void fill_warm(Time now)
    {
        warming_ = true;
        refill(now);
    }

    // Answers.

    /// What to do next; nothing when all is done for now.
    std::optional<PoolAction> next_action()
    {
        std::optional<PoolAction> action;
        if (!actions_.empty()) {
            action = actions_.front();
            actions_.pop_front();
        }
        return action;
    }

    /// When `tick` must be called at the latest. It may find nothing to do.
    std::optional<Time> next_deadline() const;

    /// When a time limit ends the instance in `slot`, if nothing happens until then; empty when none does.
    std::optional<Time> deadline_of(SlotId slot) const;

    /// An instance whose last byte `acquire` for `identity` should know of, because it may end the one that has been
    /// silent for longest: then call `active` for it, and ask again with the same `now`.
    std::optional<SlotId> wants_activity(Time now, const Identity& identity);

    /// Whether a client of `identity` would have an instance started, or get a warm one: there is none that it would
    /// join, also none that starts or waits for room. With `reset` every instance of its owner goes first.
    bool would_start(const Identity& identity, bool reset = false) const
    {
        return !closed_ && (reset || table_.find(identity.id()) == none);
    }

    /// The refusal that a client of which `would_start` is true would meet at once as things are, without a waiter;
    /// nothing when it would get an instance, or may wait for one.
    std::optional<PoolAction> foresee_refusal(const Identity& identity, bool reset = false,
                                              const std::optional<Digest>& common_owner = std::nullopt) const;

    /// Nothing exists and nobody waits.
    bool empty() const noexcept { return instances() == 0 && waiters_.empty(); }

    /// Instances that exist, those that start or stop included.
    std::size_t instances() const noexcept { return occupancy_.instances(); }

    /// Instances that are ready and have no client, warm ones included.
    std::size_t unused() const noexcept override { return victims_.count_unused() + stock_.spares(); }

    /// Clients that wait for room.
    std::size_t queued() const noexcept { return queue_.size(); }

    /// Their names, in the order in which they would be served if nothing else happened.
    ///
    /// Time: by their number.
    std::vector<WaiterId> queue_order() const;

    /// How busy it is.
    ///
    /// Time: by the number of instances that wait for their turn to start.
    PoolLoad load() const noexcept;

private:
    static constexpr std::uint32_t none = detail::no_index;

    /// What keeps a client from its session.
    enum class Limit { nothing, stops, owner, service, budget, queue, sessions };

    class NodeOf {
    public:
        explicit NodeOf(PoolState* state) : state_(state) {}
        detail::TimerNode& operator()(std::uint32_t index) const { return state_->table_[index].timer; }

    private:
        PoolState* state_;
    };

    // As a member of the budget.

    void wake() override
    {
        if (on_wake_)
            on_wake_();
    }

    std::optional<Time> unused_since() const override
    {
        const std::uint32_t index = victims_.longest_unused();
        if (index == none)
            return std::nullopt;
        return table_[index].last_used;
    }

    void stop_unused() override
    {
        stop(victims_.longest_unused(), InstanceEnd::culled);
        wake();
    }

    bool stop_spare() override
    {
        const std::uint32_t spare = stock_.spare();
        if (spare == none)
            return false;
        stop(spare, InstanceEnd::culled);
        wake();
        return true;
    }

    void owner_may_go_on(std::uint32_t owner) override
    {
        if (table_.owner(owner).waiting == 0)
            return;
        queue_.resume(owner);
        wake();
    }

    bool stop_unused_of(std::uint32_t owner) override
    {
        const std::uint32_t index = victims_.longest_unused(owner);
        if (index == none)
            return false;
        stop(index, InstanceEnd::culled);
        wake();
        return true;
    }

    bool has_unused_of(std::uint32_t owner) const override { return victims_.longest_unused(owner) != none; }

    void recount_owner(std::uint32_t owner) override { occupancy_.recount(owner); }

    std::size_t stopping() const override { return occupancy_.stopping(); }
    std::size_t waiting() const override { return occupancy_.demand(); }
    std::size_t admissible() const override { return occupancy_.admissible(); }

    // Entries.

    bool is_unused(std::uint32_t index) const
    {
        return table_[index].state == SlotState::ready && table_[index].clients == 0;
    }

    /// The instance is no longer chosen for anything, and no time limit ends it.
    void unlink(std::uint32_t index);

    void remove_entry(std::uint32_t index)
    {
        dequeue(index);
        unlink(index);
        const std::uint32_t owner = table_[index].owner;
        if (owner != none && table_.owner(owner).entries == 1)
            leave_account(owner);
        table_.remove(index);
    }

    /// What the owner has here counts for all pools from now on.
    void join_account(std::uint32_t owner, const std::optional<Digest>& common_owner);

    void leave_account(std::uint32_t owner);

    // Clients that wait.

    void add_waiter(Time now, std::uint32_t index, std::uint32_t client)
    {
        waiters_.wait(client, index);
        if (table_[index].queued)
            push_to_queue(now, index, client);
    }

    void push_to_queue(Time now, std::uint32_t index, std::uint32_t client)
    {
        const bool limited = options_.queue_timeout != Duration::zero();
        queue_.push(client, table_[index].owner, limited ? now + options_.queue_timeout : Time::max());
    }

    WaiterId remove_waiter(std::uint32_t client)
    {
        if (table_[waiters_.entry(client)].queued)
            queue_.erase(client);
        return waiters_.remove(client);
    }

    /// The clients of an entry wait for room.
    void enqueue(Time now, std::uint32_t index);

    /// They do so no more.
    void dequeue(std::uint32_t index);

    void refuse(WaiterId waiter, Errc error, Limit limit = Limit::nothing, std::uint32_t owner = none)
    {
        auto action = refusal(error, limit, owner, table_.account(owner));
        action.waiter = waiter;
        actions_.push_back(action);
    }

    /// For a client of `owner`, which may be unknown, and may have an account in other pools.
    PoolAction refusal(Errc error, Limit limit, std::uint32_t owner, const OwnerAccount* account) const;

    void refuse_all(std::uint32_t index, Errc error, Limit limit = Limit::nothing);

    /// A client in the queue is refused.
    void give_up_waiting(std::uint32_t client, Errc error, Limit limit);

    /// All clients of an owner in the queue are refused.
    void refuse_queued(const Digest& digest);

    bool queue_is_full() const noexcept
    {
        return options_.when_full == WhenFull::queue && queue_.size() >= options_.queue_size;
    }

    /// In a full queue, refuses the last client of the owner that has most of them there, if that is more than `own`,
    /// what the newcomer's owner has with the newcomer: nobody fills the queue alone.
    bool evict_queued(std::size_t own)
    {
        if (queue_.largest() <= own)
            return false;
        give_up_waiting(queue_.last_of_largest(), Errc::full, Limit::queue);
        return true;
    }

    // Room: what counts against the caps.

    static const char* name_of(Limit limit) noexcept;

    void give_up_room(std::uint32_t index)
    {
        occupancy_.give_up(index);
        if (const std::uint32_t owner = table_[index].owner; owner != none) {
            queue_.resume(owner);
            if (OwnerAccount* const account = table_.account(owner))
                account->wake();
        }
        if (budget_)
            budget_->give_back();
    }

    /// Whether room that is coming free already will be enough for all that wait for it.
    bool is_coming(Limit lacking, std::uint32_t owner) const
    {
        switch (lacking) {
        case Limit::owner: return occupancy_.comes_to_owner(owner);
        case Limit::budget: return budget_->comes_to(*this);
        default: return occupancy_.comes_to_all();
        }
    }

    /// What a newcomer of `owner`, which may be unknown, would lack.
    Limit lack_of_newcomer(std::uint32_t owner, const OwnerAccount* account) const;

    /// Whether there may be room for that newcomer, or a place where it waits.
    bool may_have_room(Limit lacking, std::uint32_t owner, const OwnerAccount* account) const;

    /// Stops the instance that nobody has used for longest; false when all are in use.
    bool evict(Limit lacking, std::uint32_t owner);

    /// Stops an instance that is in use, if the policy says so; false when there is none.
    bool cull(Limit lacking, std::uint32_t owner);

    /// Stops unused instances to make room for clients that wait, as far as none is coming free.
    void make_way();

    // Decisions.

    /// Everything but that somebody may have room now.
    void stop_owner(const Digest& digest);

    /// The first client of an identity that has no instance.
    void let_in(Time now, const Identity& identity, std::uint32_t client, bool after_stops,
                const std::optional<Digest>& common_owner);

    /// Tries to move an entry on from `waiting`. Returns the limit that keeps it.
    Limit admit(Time now, std::uint32_t index);

    /// Gives the client of a waiting entry a warm instance: one that is ready, or else the one that began first.
    bool claim_warm(Time now, std::uint32_t index);

    /// There is no room for a new entry: it waits, has others make room, or is refused.
    void make_room(std::uint32_t index, Limit lacking);

    /// Lets waiting entries in, their owners in turn. One that only its own owner keeps waiting lets the others pass.
    void admit_waiting(Time now);

    void await_permit(Time now, std::uint32_t index)
    {
        table_[index].state = SlotState::permit;
        permits_.push_back(index);
        if (!table_[index].warm)
            limit_permit(now, index);
    }

    void run_permits(Time now)
    {
        while (permits_.first() != none && (options_.max_starting == 0 || starting_ < options_.max_starting))
            start(now, permits_.first());
    }

    /// A client that waits for a permit waits in line too.
    void limit_permit(Time now, std::uint32_t index)
    {
        if (options_.queue_timeout != Duration::zero())
            wheel_.arm(index, ticks_.up(now + options_.queue_timeout));
    }

    void give_up_permit(std::uint32_t index)
    {
        if (std::exchange(table_[index].has_permit, false))
            --starting_;
    }

    void start(Time now, std::uint32_t index);

    /// A ready instance with an owner takes its clients in.
    void settle(Time now, std::uint32_t index);

    void grant(Time now, std::uint32_t index, WaiterId waiter);

    /// Ends an entry that nobody waits for, because the server ends.
    void end_now(std::uint32_t index);

    void stop(std::uint32_t index, InstanceEnd end);

    /// The instance no longer exists.
    void gone(Time now, std::uint32_t index)
    {
        give_up_permit(index);
        give_up_room(index);
        remove_entry(index);
        go_on(now);
    }

    /// There may be room now.
    void go_on(Time now)
    {
        run_permits(now);
        admit_waiting(now);
        refill(now);
    }

    void fire(Time now, std::uint32_t index);

    /// The sessions of an instance are told when its time is over.
    void warn(std::uint32_t index);

    /// Warns the sessions if that is due. The next limit of the instance is waited for in any case.
    void warn_or_wait(Time now, std::uint32_t index);

    /// Whether an instance goes with its last client.
    bool ends_unused(const InstanceEntry& entry, Time now) const
    {
        return options_.single_use || !entry.returning || closed_ ||
               !(limits_.lingers(entry) || TimeLimits::is_kept(entry, now));
    }

    /// Stops the warm instances that are too many.
    void trim_warm()
    {
        while (stock_.size() > options_.warm)
            end_now(stock_.first());
    }

    /// Sets the timer of a ready instance to the nearest of its limits. A timer that is armed for earlier stays: it
    /// will find that nothing is due and be armed again, so that a busy instance costs nothing here.
    void arm(std::uint32_t index);

    /// Starts missing warm instances, as far as there is room that no client waits for.
    void refill(Time now);

    void add_warm(Time now)
    {
        const std::uint32_t index = table_.add();
        table_[index].warm = true;
        occupancy_.take(index);
        stock_.add(index);
        await_permit(now, index);
    }

    PoolOptions options_;
    InstanceBudget* budget_;
    std::function<void()> on_wake_;

    InstanceTable table_;
    WaiterTable waiters_{table_};
    WaitQueue queue_;
    WarmStock stock_{table_};
    InstanceList<&InstanceEntry::age_links> permits_{table_};  ///< Have room and may not start yet, in turn.
    Occupancy occupancy_;
    Victims victims_;
    TimeLimits limits_;
    detail::TickClock ticks_;
    detail::TimerWheel<NodeOf> wheel_;
    std::deque<PoolAction> actions_;

    std::size_t starting_ = 0;
    bool warming_ = false;
    bool admitting_ = false;
    bool closed_ = false;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/pool/pool_state.hpp>
#endif
