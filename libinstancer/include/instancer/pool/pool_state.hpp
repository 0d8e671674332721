// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>

#include <instancer/detail/pool/timer_wheel.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/occupancy.hpp>
#include <instancer/pool/pool_action.hpp>
#include <instancer/pool/pool_options.hpp>
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
class PoolState final : private InstanceBudget::Member {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;
    /// A moment on it.
    using Time = Clock::time_point;
    /// A span of time.
    using Duration = Clock::duration;

    /// Lifetime: `budget`, if any, must outlive the state.
    PoolState(const PoolOptions& options, Time now, InstanceBudget* budget = nullptr)
        : options_(options),
          budget_(budget),
          occupancy_(table_, options.max_instances, options.max_per_owner),
          victims_(table_, options.when_full == WhenFull::cull_idle, now),
          ticks_(now),
          wheel_(NodeOf(this))
    {
        if (budget_)
            budget_->add(*this);
    }
    PoolState(const PoolState&) = delete;
    PoolState& operator=(const PoolState&) = delete;
    ~PoolState()
    {
        if (budget_)
            budget_->remove(*this);
    }

    /// Sets what is called when other pools of the budget make it necessary to `tick`; it must not do so at once.
    void on_wake(std::function<void()> callback) { on_wake_ = std::move(callback); }

    // Events.

    /// A client wants a session. With `reset` every instance of its owner goes first.
    WaiterId acquire(Time now, const Identity& identity, bool reset = false)
    {
        const WaiterId waiter = next_waiter_++;
        if (closed_) {
            refuse(waiter, Errc::stopping);
            return waiter;
        }
        if (reset) {
            stop_owner(identity.owner());
            // Before the room that this made is given to who waits.
            if (const std::uint32_t same = table_.find(identity.id()); same != none)
                table_[same].after_stops = true;
            admit_waiting(now);
        }
        const std::uint32_t found = table_.find(identity.id());
        if (found == none)
            let_in(now, identity, waiter, reset);
        else if (table_[found].state == SlotState::ready)
            grant(now, found, waiter);
        else if (table_[found].queued && queue_is_full() && !evict_queued(queue_.waiting_of(table_[found].owner) + 1))
            refuse(waiter, Errc::full, Limit::queue);
        else
            add_waiter(now, found, waiter);
        return waiter;
    }

    /// The client left before it was granted or refused anything.
    void abandon(Time now, WaiterId waiter)
    {
        const std::uint32_t client = waiters_.find(waiter);
        if (client == none)
            return;
        const std::uint32_t index = waiters_.entry(client);
        remove_waiter(client);
        InstanceEntry& entry = table_[index];
        if (entry.waiters.size() != 0)
            return;
        switch (entry.state) {
        case SlotState::waiting: remove_entry(index); break;
        case SlotState::permit:
            give_up_room(index);
            remove_entry(index);
            admit_waiting(now);
            refill(now);
            break;
        case SlotState::starting: stop(index, InstanceEnd::abandoned); break;
        default: break;
        }
    }

    /// A session that was granted is over.
    void release(Time now, SlotId slot)
    {
        const std::uint32_t index = table_.find(slot);
        if (index == none)
            return;
        InstanceEntry& entry = table_[index];
        --entry.clients;
        if (entry.clients != 0 || entry.state != SlotState::ready)
            return;
        if (options_.single_use || !entry.returning || options_.linger == Duration::zero() || closed_) {
            stop(index, closed_ ? InstanceEnd::stopped : InstanceEnd::unused);
            return;
        }
        entry.last_used = now;
        victims_.unused(index);
        arm(index);
        if (occupancy_.owner_is_full(entry.owner) && !occupancy_.comes_to_owner(entry.owner))
            evict(Limit::owner, entry.owner);
        make_way();
    }

    /// The start in `slot` succeeded and the instance accepts sessions.
    void ready(Time now, SlotId slot)
    {
        const std::uint32_t index = table_.find(slot);
        if (index == none || table_[index].state != SlotState::starting)
            return;
        give_up_permit(index);
        table_[index].state = SlotState::ready;
        table_[index].last_used = now;
        if (table_[index].warm) {
            stock_.ready(index);
            wheel_.disarm(index);
        } else {
            settle(now, index);
        }
        go_on(now);
    }

    /// The start in `slot` failed and left nothing behind.
    void start_failed(Time now, SlotId slot, Errc error = Errc::start_failed)
    {
        const std::uint32_t index = table_.find(slot);
        if (index == none)
            return;
        if (table_[index].warm)
            stock_.failed(now);
        refuse_all(index, error);
        gone(now, index);
    }

    /// The instance in `slot` ended by itself.
    void died(Time now, SlotId slot)
    {
        const std::uint32_t index = table_.find(slot);
        if (index == none || table_[index].state == SlotState::stopping)
            return;
        if (table_[index].state == SlotState::starting) {
            if (table_[index].warm)
                stock_.failed(now);
            refuse_all(index, Errc::start_failed);
            stop(index, InstanceEnd::start_failed);
        } else {
            if (table_[index].warm) {
                if (now - table_[index].last_used > std::chrono::minutes(1))
                    stock_.forget_failures();
                stock_.failed(now);
            }
            stop(index, InstanceEnd::exited);
        }
    }

    /// What `stop` asked for is done.
    void stopped(Time now, SlotId slot)
    {
        if (const std::uint32_t index = table_.find(slot); index != none)
            gone(now, index);
    }

    /// The last byte on `slot` passed at `last`.
    void active(Time now, SlotId slot, Time last)
    {
        const std::uint32_t index = table_.find(slot);
        if (index == none || table_[index].state != SlotState::ready || table_[index].clients == 0)
            return;
        InstanceEntry& entry = table_[index];
        entry.last_used = std::max(entry.last_used, last);
        victims_.answered(index, now);
        if (options_.idle != Duration::zero() && now - entry.last_used >= options_.idle)
            stop(index, InstanceEnd::idle);
        else
            arm(index);
    }

    /// Stops every instance of `owner` and refuses its clients that wait for one to start.
    void reset_owner(Time now, const Digest& owner)
    {
        stop_owner(owner);
        admit_waiting(now);
    }

    /// Takes in an instance that runs already, `age` after it got its owner. It may exceed the caps.
    /// Empty when its identity has one. The oldest comes first.
    std::optional<SlotId> adopt(Time now, const Identity& identity, Duration age)
    {
        if (table_.find(identity.id()) != none)
            return std::nullopt;
        const std::uint32_t index = table_.add(identity);
        InstanceEntry& entry = table_[index];
        occupancy_.take(index);
        if (budget_)
            budget_->take();
        entry.state = SlotState::ready;
        entry.claimed = now - age;
        entry.last_used = now;
        victims_.add(index);
        victims_.unused(index);
        arm(index);
        return table_.slot_of(index);
    }

    /// The time has come that `next_deadline()` named, or `on_wake` was called.
    void tick(Time now)
    {
        while (const auto index = wheel_.advance(ticks_.down(now)))
            fire(now, *index);
        for (auto due = queue_.next_deadline(); due && *due <= now; due = queue_.next_deadline())
            give_up_waiting(queue_.first_due(), Errc::queue_timeout, Limit::service);
        admit_waiting(now);
        refill(now);
    }

    /// No new clients and no warm instances from now on; an instance goes when its last client leaves.
    void drain(Time now)
    {
        if (std::exchange(closed_, true))
            return;
        for (std::uint32_t index = 0; index < table_.size(); ++index)
            if (table_[index].used && (table_[index].warm || is_unused(index)))
                end_now(index);
        admit_waiting(now);
        refill(now);
    }

    /// Everything ends now.
    void close(Time now)
    {
        drain(now);
        for (std::uint32_t index = 0; index < table_.size(); ++index) {
            if (!table_[index].used)
                continue;
            refuse_all(index, Errc::stopping);
            end_now(index);
        }
    }

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
        if (actions_.empty())
            return std::nullopt;
        const PoolAction action = actions_.front();
        actions_.pop_front();
        return action;
    }

    /// When `tick` must be called at the latest. It may find nothing to do.
    std::optional<Time> next_deadline() const
    {
        std::optional<Time> next = queue_.next_deadline();
        const auto consider = [&next](Time time) { next = next ? std::min(*next, time) : time; };
        if (const auto due = wheel_.next_due())
            consider(ticks_.time(*due));
        if (stock_.next_try() && warming_ && !closed_)
            consider(*stock_.next_try());
        return next;
    }

    /// An instance whose last byte `acquire` for `identity` should know of, because it may end the one that has been
    /// silent for longest: then call `active` for it, and ask again with the same `now`.
    std::optional<SlotId> wants_activity(Time now, const Identity& identity)
    {
        if (options_.when_full != WhenFull::cull_idle || table_.find(identity.id()) != none)
            return std::nullopt;
        std::uint32_t owner = table_.find_owner(identity.owner());
        if (owner == none || !occupancy_.owner_is_full(owner)) {
            if (!occupancy_.is_full() && !(budget_ && budget_->is_full()))
                return std::nullopt;
            owner = none;
        }
        if (victims_.longest_unused(owner) != none)
            return std::nullopt;
        const std::uint32_t index = victims_.longest_silent(owner);
        if (index == none || !victims_.is_unsure(index, now))
            return std::nullopt;
        return table_.slot_of(index);
    }

    /// Nothing exists and nobody waits.
    bool empty() const noexcept { return instances() == 0 && waiters_.empty(); }

    /// Instances that exist, those that start or stop included.
    std::size_t instances() const noexcept { return occupancy_.instances(); }

    /// Instances that are ready and have no client, warm ones included.
    std::size_t unused() const noexcept override { return victims_.count_unused() + stock_.spares(); }

    /// Clients that wait for room.
    std::size_t queued() const noexcept { return queue_.size(); }

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

    std::size_t stopping() const override { return occupancy_.stopping(); }
    std::size_t waiting() const override { return occupancy_.demand(); }

    // Entries.

    bool is_unused(std::uint32_t index) const
    {
        return table_[index].state == SlotState::ready && table_[index].clients == 0;
    }

    /// The instance is no longer chosen for anything, and no time limit ends it.
    void unlink(std::uint32_t index)
    {
        const InstanceEntry& entry = table_[index];
        if (entry.warm)
            stock_.remove(index, entry.state == SlotState::ready);
        if (entry.state == SlotState::permit)
            permits_.erase(index);
        else if (!entry.warm)
            victims_.remove(index);
        wheel_.disarm(index);
    }

    void remove_entry(std::uint32_t index)
    {
        dequeue(index);
        unlink(index);
        table_.remove(index);
    }

    // Clients that wait.

    void add_waiter(Time now, std::uint32_t index, WaiterId waiter)
    {
        const std::uint32_t client = waiters_.add(waiter, index);
        if (table_[index].queued)
            push_to_queue(now, index, client);
    }

    void push_to_queue(Time now, std::uint32_t index, std::uint32_t client)
    {
        const bool limited = options_.queue_timeout != Duration::zero();
        queue_.push(client, table_[index].owner, limited ? now + options_.queue_timeout : Time::max());
    }

    void remove_waiter(std::uint32_t client)
    {
        if (table_[waiters_.entry(client)].queued)
            queue_.erase(client);
        waiters_.remove(client);
    }

    /// The clients of an entry wait for room.
    void enqueue(Time now, std::uint32_t index)
    {
        InstanceEntry& entry = table_[index];
        entry.queued = true;
        occupancy_.begin_waiting(index);
        for (std::uint32_t at = entry.waiters.first(); at != none; at = waiters_.next(at))
            push_to_queue(now, index, at);
    }

    /// They do so no more.
    void dequeue(std::uint32_t index)
    {
        InstanceEntry& entry = table_[index];
        if (!std::exchange(entry.queued, false))
            return;
        occupancy_.end_waiting(index);
        for (std::uint32_t at = entry.waiters.first(); at != none; at = waiters_.next(at))
            queue_.erase(at);
        if (budget_ && queue_.next() == none)
            budget_->leave(*this, InstanceBudget::Purpose::client);
    }

    void refuse(WaiterId waiter, Errc error, Limit limit = Limit::nothing, std::uint32_t owner = none)
    {
        PoolAction action(PoolAction::Kind::refuse);
        action.waiter = waiter;
        action.error = error;
        if (error == Errc::full)
            action.limit = name_of(limit);
        switch (limit) {
        case Limit::owner:
            action.instances = table_.owner(owner).rooms;
            action.unused = victims_.count_unused(owner);
            break;
        case Limit::service:
        case Limit::queue:
            action.instances = instances();
            action.unused = unused();
            break;
        case Limit::budget:
            action.instances = budget_->used();
            action.unused = budget_->unused();
            break;
        default: break;
        }
        actions_.push_back(action);
    }

    void refuse_all(std::uint32_t index, Errc error, Limit limit = Limit::nothing)
    {
        while (table_[index].waiters.size() != 0) {
            const std::uint32_t last = table_[index].waiters.last();
            refuse(waiters_.id(last), error, limit, table_[index].owner);
            remove_waiter(last);
        }
    }

    /// A client in the queue is refused.
    void give_up_waiting(std::uint32_t client, Errc error, Limit limit)
    {
        const std::uint32_t index = waiters_.entry(client);
        refuse(waiters_.id(client), error, limit);
        remove_waiter(client);
        if (table_[index].waiters.size() == 0)
            remove_entry(index);
    }

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

    static const char* name_of(Limit limit) noexcept
    {
        switch (limit) {
        case Limit::owner: return "its owner has as many as one may have";
        case Limit::service: return "the service has as many as it may have";
        case Limit::budget: return "the services together have as many as they may have";
        case Limit::queue: return "all instances are taken and the queue is full";
        case Limit::sessions: return "its instance has as many clients as it may";
        case Limit::stops:
        case Limit::nothing: break;
        }
        return "";
    }

    void give_up_room(std::uint32_t index)
    {
        occupancy_.give_up(index);
        if (table_[index].owner != none)
            queue_.resume(table_[index].owner);
        if (budget_)
            budget_->give_back();
    }

    /// Whether room that is coming free already will be enough for all who wait for it.
    bool is_coming(Limit lacking, std::uint32_t owner) const
    {
        switch (lacking) {
        case Limit::owner: return occupancy_.comes_to_owner(owner);
        case Limit::budget: return budget_->comes_to(*this);
        default: return occupancy_.comes_to_all();
        }
    }

    /// Stops the instance that nobody has used for longest; false when all are in use.
    bool evict(Limit lacking, std::uint32_t owner)
    {
        if (lacking == Limit::budget)
            return budget_->reclaim();
        const std::uint32_t index = victims_.longest_unused(lacking == Limit::owner ? owner : none);
        if (index == none)
            return false;
        stop(index, InstanceEnd::culled);
        return true;
    }

    /// Stops an instance that is in use, if the policy says so; false when there is none.
    bool cull(Limit lacking, std::uint32_t owner)
    {
        const std::uint32_t whose = lacking == Limit::owner ? owner : none;
        std::uint32_t victim = none;
        if (options_.when_full == WhenFull::cull_oldest)
            victim = victims_.oldest(whose);
        else if (options_.when_full == WhenFull::cull_idle)
            victim = victims_.longest_silent(whose);
        if (victim == none)
            return false;
        if (lacking == Limit::budget)
            budget_->go_first(*this);
        refuse_all(victim, Errc::culled);
        stop(victim, InstanceEnd::culled);
        return true;
    }

    /// Instances that nobody uses make room for those who wait, as far as none is coming free.
    void make_way()
    {
        while (occupancy_.is_full() && !occupancy_.comes_to_all() && evict(Limit::service, none)) {}
        while (budget_ && budget_->is_short() && budget_->reclaim()) {}
    }

    // Decisions.

    /// Everything but that somebody may have room now.
    void stop_owner(const Digest& digest)
    {
        const std::uint32_t owner = table_.find_owner(digest);
        if (owner == none)
            return;
        for (std::uint32_t index = table_.owner(owner).live.first(); index != none;) {
            const std::uint32_t next = table_[index].owner_links.next;
            if (table_[index].state != SlotState::ready)
                refuse_all(index, Errc::reset);
            if (table_[index].state == SlotState::permit) {
                give_up_room(index);
                remove_entry(index);
            } else {
                stop(index, InstanceEnd::reset);
            }
            index = next;
        }
    }

    /// The first client of an identity that has no instance.
    void let_in(Time now, const Identity& identity, WaiterId waiter, bool after_stops)
    {
        if (budget_)
            admit_waiting(now);  // Room in the budget comes free unseen; who waits already is served first.
        const std::uint32_t index = table_.add(identity);
        table_[index].after_stops = after_stops;
        waiters_.add(waiter, index);
        const Limit lacking = admit(now, index);
        if (lacking == Limit::nothing)
            return;
        enqueue(now, index);
        if (lacking != Limit::stops)
            make_room(index, lacking);
    }

    /// Tries to move an entry on from `waiting`. What it lacks.
    Limit admit(Time now, std::uint32_t index)
    {
        const InstanceEntry& entry = table_[index];
        if (entry.after_stops && table_.owner_of(index).stopping != 0)
            return Limit::stops;
        if (occupancy_.owner_is_full(entry.owner))
            return Limit::owner;
        if (claim_warm(now, index))
            return Limit::nothing;
        if (occupancy_.is_full())
            return Limit::service;
        if (budget_ && !budget_->try_take(*this, InstanceBudget::Purpose::client))
            return Limit::budget;
        dequeue(index);
        occupancy_.take(index);
        await_permit(now, index);
        run_permits(now);
        return Limit::nothing;
    }

    /// Gives the client of a waiting entry a warm instance: one that is ready, or else the one that began first.
    bool claim_warm(Time now, std::uint32_t index)
    {
        const std::uint32_t spare = stock_.first();
        if (spare == none)
            return false;
        const Identity identity = table_.identity_of(index);
        dequeue(index);
        waiters_.move(index, spare);
        table_.hide(index);
        table_.give_owner(spare, identity);
        remove_entry(index);

        InstanceEntry& entry = table_[spare];
        stock_.remove(spare, entry.state == SlotState::ready);
        entry.warm = false;
        occupancy_.charge(spare);
        if (entry.state == SlotState::permit) {
            limit_permit(now, spare);
        } else {
            victims_.add(spare);
            entry.claimed = now;
            PoolAction action(PoolAction::Kind::assign);
            action.slot = table_.slot_of(spare);
            action.identity = identity;
            actions_.push_back(action);
        }
        if (entry.state == SlotState::ready)
            settle(now, spare);
        refill(now);
        return true;
    }

    /// There is no room for a new entry: it waits, has others make room, or is refused.
    void make_room(std::uint32_t index, Limit lacking)
    {
        const std::uint32_t owner = table_[index].owner;
        if (is_coming(lacking, owner) || evict(lacking, owner) || cull(lacking, owner))
            return;
        const bool queues = options_.when_full == WhenFull::queue;
        if (queues && (queue_.size() <= options_.queue_size || evict_queued(queue_.waiting_of(owner))))
            return;
        refuse_all(index, Errc::full, queues ? Limit::queue : lacking);
        remove_entry(index);
    }

    /// Lets waiting entries in, their owners in turn. Who is kept by its own owner alone lets the others pass.
    void admit_waiting(Time now)
    {
        if (std::exchange(admitting_, true))
            return;
        Limit lacking = Limit::nothing;
        while (queue_.next() != none && lacking != Limit::service && lacking != Limit::budget) {
            const std::uint32_t index = waiters_.entry(queue_.next());
            const std::uint32_t owner = table_[index].owner;
            lacking = admit(now, index);
            if (lacking == Limit::nothing)
                queue_.end_turn(owner);
            else if (lacking == Limit::owner || lacking == Limit::stops)
                queue_.hold(owner);
        }
        if (budget_ && lacking != Limit::budget)
            budget_->leave(*this, InstanceBudget::Purpose::client);
        make_way();
        admitting_ = false;
    }

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

    void start(Time now, std::uint32_t index)
    {
        permits_.erase(index);
        InstanceEntry& entry = table_[index];
        entry.state = SlotState::starting;
        ++starting_;
        entry.has_permit = true;
        entry.claimed = now;
        if (!entry.warm)
            victims_.add(index);
        wheel_.disarm(index);
        if (options_.start_timeout != Duration::zero())
            wheel_.arm(index, ticks_.up(now + options_.start_timeout));

        PoolAction action(PoolAction::Kind::start);
        action.slot = table_.slot_of(index);
        if (!entry.warm) {
            action.waiter = waiters_.id(entry.waiters.first());
            action.identity = table_.identity_of(index);
        }
        actions_.push_back(action);
    }

    /// A ready instance with an owner takes its clients in.
    void settle(Time now, std::uint32_t index)
    {
        while (table_[index].waiters.size() != 0) {
            const std::uint32_t client = table_[index].waiters.first();
            const WaiterId waiter = waiters_.id(client);
            waiters_.remove(client);
            grant(now, index, waiter);
        }
        arm(index);
    }

    void grant(Time now, std::uint32_t index, WaiterId waiter)
    {
        InstanceEntry& entry = table_[index];
        const std::size_t limit = options_.single_use ? 1 : options_.max_sessions_per_instance;
        if (limit != 0 && entry.clients >= limit) {
            refuse(waiter, Errc::full, Limit::sessions);
            return;
        }
        ++entry.clients;
        entry.last_used = now;
        victims_.used(index, now);
        PoolAction action(PoolAction::Kind::grant);
        action.waiter = waiter;
        action.slot = table_.slot_of(index);
        actions_.push_back(action);
    }

    /// Ends an entry that nobody waits for, because the server ends.
    void end_now(std::uint32_t index)
    {
        switch (table_[index].state) {
        case SlotState::permit: give_up_room(index); [[fallthrough]];
        case SlotState::waiting: remove_entry(index); break;
        case SlotState::starting:
        case SlotState::ready: stop(index, InstanceEnd::stopped); break;
        case SlotState::stopping: break;
        }
    }

    void stop(std::uint32_t index, InstanceEnd end)
    {
        table_.hide(index);
        unlink(index);
        occupancy_.stop(index);
        InstanceEntry& entry = table_[index];
        entry.state = SlotState::stopping;

        PoolAction action(PoolAction::Kind::stop);
        action.slot = table_.slot_of(index);
        action.end = end;
        if (entry.clients != 0) {
            PoolAction revoke(PoolAction::Kind::revoke);
            revoke.slot = action.slot;
            revoke.end = end;
            actions_.push_back(revoke);
        }
        actions_.push_back(action);
    }

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

    void fire(Time now, std::uint32_t index)
    {
        InstanceEntry& entry = table_[index];
        if (entry.state == SlotState::permit) {
            refuse_all(index, Errc::queue_timeout);
            give_up_room(index);
            remove_entry(index);
            return;
        }
        if (entry.state == SlotState::starting) {
            if (entry.warm)
                stock_.failed(now);
            refuse_all(index, Errc::start_timeout);
            stop(index, InstanceEnd::start_timeout);
            return;
        }
        if (entry.state != SlotState::ready)
            return;
        if (options_.ttl != Duration::zero() && now - entry.claimed >= options_.ttl) {
            stop(index, InstanceEnd::expired);
        } else if (entry.clients == 0) {
            if (now - entry.last_used >= options_.linger)
                stop(index, InstanceEnd::unused);
            else if (options_.idle != Duration::zero() && now - entry.last_used >= options_.idle)
                stop(index, InstanceEnd::idle);
            else
                arm(index);
        } else if (options_.idle != Duration::zero() && now - entry.last_used >= options_.idle) {
            PoolAction action(PoolAction::Kind::check_activity);
            action.slot = table_.slot_of(index);
            actions_.push_back(action);
        } else {
            arm(index);
        }
    }

    /// Sets the timer of a ready instance to the nearest of its limits. A timer that is armed for earlier stays: it
    /// will find that nothing is due and be armed again, so that a busy instance costs nothing here.
    void arm(std::uint32_t index)
    {
        const InstanceEntry& entry = table_[index];
        Time due = Time::max();
        if (options_.ttl != Duration::zero())
            due = std::min(due, entry.claimed + options_.ttl);
        if (options_.idle != Duration::zero())
            due = std::min(due, entry.last_used + options_.idle);
        if (entry.clients == 0)
            due = std::min(due, entry.last_used + options_.linger);
        if (due == Time::max()) {
            wheel_.disarm(index);
            return;
        }
        const std::uint64_t tick = ticks_.up(due);
        if (!entry.timer.armed() || tick < entry.timer.due)
            wheel_.arm(index, tick);
    }

    /// Starts what the stock of warm instances lacks, as far as there is room that no client waits for.
    void refill(Time now)
    {
        bool lacks_budget = false;
        if (warming_ && !closed_ && stock_.may_start(now)) {
            stock_.try_again();
            while (stock_.size() < options_.warm && !occupancy_.is_full() && !lacks_budget) {
                lacks_budget = budget_ && !budget_->try_take(*this, InstanceBudget::Purpose::warm);
                if (!lacks_budget)
                    add_warm(now);
            }
            run_permits(now);
        }
        if (budget_ && !lacks_budget)
            budget_->leave(*this, InstanceBudget::Purpose::warm);
    }

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
    detail::TickClock ticks_;
    detail::TimerWheel<NodeOf> wheel_;
    std::deque<PoolAction> actions_;

    std::size_t starting_ = 0;
    WaiterId next_waiter_ = 1;
    bool warming_ = false;
    bool admitting_ = false;
    bool closed_ = false;
};

}  // namespace instancer
