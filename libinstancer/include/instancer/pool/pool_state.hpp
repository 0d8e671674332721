// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include <instancer/detail/digest_index.hpp>
#include <instancer/detail/timer_wheel.hpp>
#include <instancer/events.hpp>
#include <instancer/identity.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Names one instance of a pool, from the decision to start it until it is gone. Never used twice.
class SlotId {
public:
    SlotId() = default;
    /// The slot at `index`, the `generation`th time that it is used.
    SlotId(std::uint32_t index, std::uint32_t generation) : index_(index), generation_(generation) {}

    /// Where it is in the table.
    std::uint32_t index() const noexcept { return index_; }
    /// Different for any two slots, past ones included.
    std::uint64_t key() const noexcept { return std::uint64_t{generation_} << 32 | index_; }
    /// Whether both name the same slot.
    friend bool operator==(const SlotId&, const SlotId&) = default;

private:
    std::uint32_t index_ = detail::no_index;
    std::uint32_t generation_ = 0;
};

/// Names a client that waits.
using WaiterId = std::uint64_t;

/// What PoolState wants done.
class PoolAction {
public:
    /// What is to be done.
    enum class Kind {
        start,   ///< Start an instance in `slot`; for `waiter`, or warm when that is 0. Answer: ready, start_failed.
        assign,  ///< The instance in `slot` now belongs to `identity`.
        grant,   ///< `waiter` gets a session on `slot`. Answer, later: release.
        refuse,  ///< `waiter` gets `error`.
        revoke,  ///< End every session on `slot`, because of `end`.
        stop,    ///< Stop the instance in `slot`, because of `end`. Answer: stopped.
        check_activity,  ///< Answer: active, with the time of the last byte on `slot`.
    };

    /// An action of that kind.
    explicit PoolAction(Kind what) : kind(what) {}

    Kind kind;                              ///< What is to be done.
    SlotId slot;                            ///< With which instance.
    WaiterId waiter = 0;                    ///< With which client that waits.
    Identity identity;                      ///< For whom.
    Errc error = Errc::full;                ///< Why a client is refused.
    const char* limit = "";                 ///< Which limit that comes from, for the operator.
    InstanceEnd end = InstanceEnd::exited;  ///< Why an instance is stopped.
};

/// Every decision of an InstancePool and nothing else: events go in with the time, actions come out. It starts
/// nothing, waits for nothing and reads no clock.
///
/// Each event function is followed by taking the actions with `next_action()` until there is none.
///
/// Threads: one at a time.
class PoolState {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;
    /// A moment on it.
    using Time = Clock::time_point;
    /// A span of time.
    using Duration = Clock::duration;

    /// Lifetime: `budget`, if any, must outlive the state.
    PoolState(const PoolOptions& options, Time now, InstanceBudget* budget = nullptr)
        : options_(options), budget_(budget), epoch_(now), wheel_(NodeOf(this))
    {
    }
    PoolState(const PoolState&) = delete;
    PoolState& operator=(const PoolState&) = delete;

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
            if (const std::uint32_t same = by_id_.find(identity.id(), id_of()); same != none)
                entries_[same].after_stops = true;
            admit_waiting(now);
        }
        const std::uint32_t found = by_id_.find(identity.id(), id_of());
        if (found == none) {
            if (budget_)
                admit_waiting(now);  // Room in the budget comes free unseen; who waits already is served first.
            const std::uint32_t index = add_entry(identity);
            entries_[index].after_stops = reset;
            add_waiter(index, waiter);
            waiting_.push_back(slot_of(index));
            admit(now, index, true);
        } else if (entries_[found].state == State::ready) {
            grant(now, found, waiter);
        } else if (entries_[found].state == State::waiting && queue_is_full() &&
                   !displace(owners_[entries_[found].owner].queued + 1)) {
            refuse(waiter, Errc::full, full_queue);
        } else {
            add_waiter(found, waiter);
        }
        if (const auto waiting = waiters_.find(waiter); waiting != waiters_.end() &&
                                                        entries_[waiting->second.entry].state == State::waiting &&
                                                        options_.queue_timeout != Duration::zero())
            queue_deadlines_.emplace_back(waiter, now + options_.queue_timeout);
        return waiter;
    }

    /// The client left before it was granted or refused anything.
    void abandon(Time now, WaiterId waiter)
    {
        const auto found = waiters_.find(waiter);
        if (found == waiters_.end())
            return;
        const std::uint32_t index = found->second.entry;
        remove_waiter(found);
        Entry& entry = entries_[index];
        if (!entry.waiters.empty())
            return;
        switch (entry.state) {
        case State::waiting: remove_entry(index); break;
        case State::permit:
            give_up_room(index);
            remove_entry(index);
            admit_waiting(now);
            refill(now);
            break;
        case State::starting: stop(index, InstanceEnd::abandoned); break;
        default: break;
        }
    }

    /// A session that was granted is over.
    void release(Time now, SlotId slot)
    {
        const std::uint32_t index = find(slot);
        if (index == none)
            return;
        Entry& entry = entries_[index];
        --entry.clients;
        if (entry.clients != 0 || entry.state != State::ready)
            return;
        if (options_.single_use || !entry.returning || options_.linger == Duration::zero() || closed_) {
            stop(index, closed_ ? InstanceEnd::stopped : InstanceEnd::unused);
            return;
        }
        entry.last_used = now;
        unused_.push_back(*this, index);
        arm(index);
    }

    /// The start in `slot` succeeded and the instance accepts sessions.
    void ready(Time now, SlotId slot)
    {
        const std::uint32_t index = find(slot);
        if (index == none || entries_[index].state != State::starting)
            return;
        give_up_permit(index);
        entries_[index].state = State::ready;
        entries_[index].last_used = now;
        if (entries_[index].warm) {
            std::erase(warm_starts_, index);
            spares_.push_back(index);
            wheel_.disarm(index);
        } else {
            settle(now, index);
        }
        run_permits(now);
        admit_waiting(now);
        refill(now);
    }

    /// The start in `slot` failed and left nothing behind.
    void start_failed(Time now, SlotId slot, Errc error = Errc::start_failed)
    {
        const std::uint32_t index = find(slot);
        if (index == none)
            return;
        if (entries_[index].warm)
            delay_warm(now);
        refuse_all(index, error);
        gone(now, index);
    }

    /// The instance in `slot` ended by itself.
    void died(Time now, SlotId slot)
    {
        const std::uint32_t index = find(slot);
        if (index == none || entries_[index].state == State::stopping)
            return;
        if (entries_[index].state == State::starting) {
            if (entries_[index].warm)
                delay_warm(now);
            refuse_all(index, Errc::start_failed);
            stop(index, InstanceEnd::start_failed);
        } else {
            if (entries_[index].warm) {
                // What went well for a while was not the same trouble.
                if (now - entries_[index].last_used > std::chrono::minutes(1))
                    warm_delay_ = Duration::zero();
                delay_warm(now);
            }
            stop(index, InstanceEnd::exited);
        }
    }

    /// What `stop` asked for is done.
    void stopped(Time now, SlotId slot)
    {
        if (const std::uint32_t index = find(slot); index != none)
            gone(now, index);
    }

    /// The last byte on `slot` passed at `last`.
    void active(Time now, SlotId slot, Time last)
    {
        const std::uint32_t index = find(slot);
        if (index == none || entries_[index].state != State::ready || entries_[index].clients == 0)
            return;
        Entry& entry = entries_[index];
        entry.last_used = std::max(entry.last_used, last);
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
        if (by_id_.find(identity.id(), id_of()) != none)
            return std::nullopt;
        const std::uint32_t index = add_entry(identity);
        Entry& entry = entries_[index];
        take_room(index);
        if (budget_)
            budget_->take();
        entry.state = State::ready;
        entry.claimed = now - age;
        entry.last_used = now;
        unused_.push_back(*this, index);
        by_age_.push_back(*this, index);
        arm(index);
        return slot_of(index);
    }

    /// The time has come that `next_deadline()` named, or room may have come free in the budget.
    void tick(Time now)
    {
        while (const auto index = wheel_.advance(ticks_down(now)))
            fire(now, *index);
        while (!queue_deadlines_.empty() && queue_deadlines_.front().second <= now) {
            const auto found = waiters_.find(queue_deadlines_.front().first);
            queue_deadlines_.pop_front();
            if (found == waiters_.end() || entries_[found->second.entry].state != State::waiting)
                continue;
            const std::uint32_t index = found->second.entry;
            refuse(found->first, Errc::queue_timeout);
            remove_waiter(found);
            if (entries_[index].waiters.empty())
                remove_entry(index);
        }
        admit_waiting(now);
        refill(now);
    }

    /// No new clients and no warm instances from now on; an instance goes when its last client leaves.
    void drain(Time now)
    {
        if (std::exchange(closed_, true))
            return;
        for (std::uint32_t index = 0; index < entries_.size(); ++index)
            if (entries_[index].used && (entries_[index].warm || is_unused(index)))
                end_now(index);
        admit_waiting(now);
    }

    /// Everything ends now.
    void close(Time now)
    {
        drain(now);
        for (std::uint32_t index = 0; index < entries_.size(); ++index) {
            if (!entries_[index].used)
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
        std::optional<Time> next;
        const auto consider = [&next](Time time) { next = next ? std::min(*next, time) : time; };
        if (const auto due = wheel_.next_due())
            consider(epoch_ + std::chrono::milliseconds(*due));
        if (!queue_deadlines_.empty())
            consider(queue_deadlines_.front().second);
        if (warm_again_ && warming_ && !closed_)
            consider(*warm_again_);
        return next;
    }

    /// Whether `acquire` for `identity` may end the instance that has been silent for longest: then call `active` for
    /// each before.
    bool wants_activity(const Identity& identity) const
    {
        if (options_.when_full != WhenFull::cull_idle || by_id_.find(identity.id(), id_of()) != none)
            return false;
        const std::uint32_t owner = by_owner_.find(identity.owner(), owner_digest_of());
        return (owner != none && owner_is_full(owner)) || service_is_full() || (budget_ && budget_->is_full());
    }

    /// Nothing exists and nobody waits.
    bool empty() const noexcept { return count_ == 0 && waiters_.empty(); }

    /// Instances that exist, those that start or stop included.
    std::size_t instances() const noexcept { return count_; }

    /// Clients that wait for room.
    std::size_t queued() const noexcept { return queued_; }

private:
    static constexpr std::uint32_t none = detail::no_index;

    enum class State : std::uint8_t {
        waiting,  ///< No room yet.
        permit,   ///< Has room; waits until it may start.
        starting,
        ready,
        stopping,  ///< Holds its room; no longer found by its identity.
    };

    struct Links {
        std::uint32_t previous = none, next = none;
    };

    /// What finding an instance and beginning or ending a session on it touches stands first.
    struct alignas(64) Entry {
        Digest id;
        std::uint32_t owner = none;
        std::uint32_t generation = 0;
        std::uint32_t clients = 0;
        State state = State::waiting;
        bool used = false;
        bool returning = true;
        bool warm = false;         ///< Has no owner yet.
        bool after_stops = false;  ///< Must not start before every stop of its owner is done.
        bool listed = false;       ///< `by_id_` finds it.
        bool has_permit = false;   ///< Counts as starting, also while a start that was given up is being undone.
        bool in_age = false;
        bool in_unused = false;
        Time last_used{};    ///< Last known byte, or when the last client left.
        Links unused_links;  ///< `unused_`: ready without a client, longest first. Free entries use `next`.
        Links age_links;     ///< `by_age_`: owned instances that start or run, oldest claim first.
        Links owner_links;   ///< All entries of one owner.
        detail::TimerNode timer;
        Time claimed{};  ///< When it got its owner.
        std::vector<WaiterId> waiters;
    };

    struct Owner {
        Digest digest;
        std::uint32_t first = none;  ///< Entries; when the record is free, the next free one.
        std::uint32_t rooms = 0;     ///< Entries that hold room.
        std::uint32_t stopping = 0;
        std::uint32_t entries = 0;
        std::size_t queued = 0;  ///< Clients that wait for room.
    };

    struct Waiter {
        std::uint32_t entry;
    };

    /// A doubly linked list through entries.
    template <Links Entry::*links, bool Entry::*member>
    class List {
    public:
        void push_back(PoolState& state, std::uint32_t index)
        {
            Entry& entry = state.entries_[index];
            if (std::exchange(entry.*member, true))
                return;
            (entry.*links).previous = last_;
            (entry.*links).next = none;
            (last_ == none ? first_ : (state.entries_[last_].*links).next) = index;
            last_ = index;
        }

        void remove(PoolState& state, std::uint32_t index)
        {
            Entry& entry = state.entries_[index];
            if (!std::exchange(entry.*member, false))
                return;
            const Links& at = entry.*links;
            (at.previous == none ? first_ : (state.entries_[at.previous].*links).next) = at.next;
            (at.next == none ? last_ : (state.entries_[at.next].*links).previous) = at.previous;
        }

        std::uint32_t first() const noexcept { return first_; }

    private:
        std::uint32_t first_ = none, last_ = none;
    };

    class NodeOf {
    public:
        explicit NodeOf(PoolState* state) : state_(state) {}
        detail::TimerNode& operator()(std::uint32_t index) const { return state_->entries_[index].timer; }

    private:
        PoolState* state_;
    };

    class IdOf {
    public:
        explicit IdOf(const PoolState* state) : state_(state) {}
        const Digest& operator()(std::uint32_t index) const { return state_->entries_[index].id; }

    private:
        const PoolState* state_;
    };

    class OwnerDigestOf {
    public:
        explicit OwnerDigestOf(const PoolState* state) : state_(state) {}
        const Digest& operator()(std::uint32_t index) const { return state_->owners_[index].digest; }

    private:
        const PoolState* state_;
    };

    IdOf id_of() const { return IdOf(this); }
    OwnerDigestOf owner_digest_of() const { return OwnerDigestOf(this); }

    SlotId slot_of(std::uint32_t index) const { return SlotId(index, entries_[index].generation); }

    std::uint32_t find(SlotId slot) const
    {
        const std::uint32_t index = slot.index();
        return index < entries_.size() && entries_[index].used && slot_of(index) == slot ? index : none;
    }

    // Entries and owners.

    std::uint32_t new_entry()
    {
        std::uint32_t index = free_entry_;
        if (index == none) {
            index = static_cast<std::uint32_t>(entries_.size());
            entries_.emplace_back();
        } else {
            free_entry_ = entries_[index].unused_links.next;
            entries_[index].unused_links = Links();
        }
        entries_[index].used = true;
        return index;
    }

    std::uint32_t add_entry(const Identity& identity)
    {
        const std::uint32_t index = new_entry();
        give_owner(index, identity);
        return index;
    }

    void give_owner(std::uint32_t index, const Identity& identity)
    {
        entries_[index].id = identity.id();
        entries_[index].returning = identity.returning();
        by_id_.insert(identity.id(), index);
        entries_[index].listed = true;

        std::uint32_t owner = by_owner_.find(identity.owner(), owner_digest_of());
        if (owner == none) {
            owner = free_owner_;
            if (owner == none) {
                owner = static_cast<std::uint32_t>(owners_.size());
                owners_.emplace_back();
            } else {
                free_owner_ = owners_[owner].first;
            }
            owners_[owner] = Owner();
            owners_[owner].digest = identity.owner();
            by_owner_.insert(identity.owner(), owner);
        }
        Entry& entry = entries_[index];
        Owner& record = owners_[owner];
        entry.owner = owner;
        entry.owner_links.next = record.first;
        if (record.first != none)
            entries_[record.first].owner_links.previous = index;
        record.first = index;
        ++record.entries;
    }

    void drop_owner(std::uint32_t index)
    {
        Entry& entry = entries_[index];
        Owner& record = owners_[entry.owner];
        const Links& at = entry.owner_links;
        (at.previous == none ? record.first : entries_[at.previous].owner_links.next) = at.next;
        if (at.next != none)
            entries_[at.next].owner_links.previous = at.previous;
        if (--record.entries == 0) {
            by_owner_.erase(record.digest, entry.owner);
            record.first = free_owner_;
            free_owner_ = entry.owner;
        }
        entry.owner = none;
    }

    /// Nobody finds the entry by its identity any more; a new one of that identity may exist beside it.
    void hide(std::uint32_t index)
    {
        if (std::exchange(entries_[index].listed, false))
            by_id_.erase(entries_[index].id, index);
    }

    void remove_entry(std::uint32_t index)
    {
        hide(index);
        if (entries_[index].owner != none)
            drop_owner(index);
        if (entries_[index].warm)
            std::erase(warm_starts_, index);
        wheel_.disarm(index);
        by_age_.remove(*this, index);
        unused_.remove(*this, index);
        const std::uint32_t generation = entries_[index].generation + 1;
        entries_[index] = Entry();
        entries_[index].generation = generation;
        entries_[index].unused_links.next = free_entry_;
        free_entry_ = index;
    }

    // Waiters.

    void add_waiter(std::uint32_t index, WaiterId waiter)
    {
        entries_[index].waiters.push_back(waiter);
        waiters_.emplace(waiter, Waiter{index});
        if (entries_[index].state == State::waiting)
            count_queued(index, 1);
    }

    void count_queued(std::uint32_t index, std::ptrdiff_t change)
    {
        queued_ += static_cast<std::size_t>(change);
        owners_[entries_[index].owner].queued += static_cast<std::size_t>(change);
    }

    void remove_waiter(std::unordered_map<WaiterId, Waiter>::iterator found)
    {
        Entry& entry = entries_[found->second.entry];
        if (entry.state == State::waiting)
            count_queued(found->second.entry, -1);
        std::erase(entry.waiters, found->first);
        waiters_.erase(found);
    }

    void refuse(WaiterId waiter, Errc error, const char* limit = "")
    {
        PoolAction action(PoolAction::Kind::refuse);
        action.waiter = waiter;
        action.error = error;
        action.limit = limit;
        actions_.push_back(action);
    }

    void refuse_all(std::uint32_t index, Errc error, const char* limit = "")
    {
        while (!entries_[index].waiters.empty()) {
            const auto found = waiters_.find(entries_[index].waiters.back());
            refuse(found->first, error, limit);
            remove_waiter(found);
        }
    }

    bool queue_is_full() const noexcept
    {
        return options_.when_full == WhenFull::queue && queued_ >= options_.queue_size;
    }

    /// In a full queue, refuses the last client of the owner that has most of them there, if that is more than `own`,
    /// what the newcomer's owner has with the newcomer: nobody fills the queue alone.
    bool displace(std::size_t own)
    {
        std::uint32_t most = none;
        for (const SlotId slot : waiting_)
            if (const auto index = find(slot); index != none && entries_[index].state == State::waiting)
                if (most == none || owners_[entries_[index].owner].queued >= owners_[entries_[most].owner].queued)
                    most = index;
        if (most == none || owners_[entries_[most].owner].queued <= own)
            return false;
        const auto last = waiters_.find(entries_[most].waiters.back());
        refuse(last->first, Errc::full, full_queue);
        remove_waiter(last);
        if (entries_[most].waiters.empty())
            remove_entry(most);
        return true;
    }

    // Room: what counts against the caps.

    enum class Lacking { nothing, owner, service, budget };

    static constexpr const char* full_queue = "all instances are taken and the queue is full";

    static const char* name_of(Lacking lacking) noexcept
    {
        switch (lacking) {
        case Lacking::owner: return "its owner has as many as one may have";
        case Lacking::service: return "the service has as many as it may have";
        case Lacking::budget: return "the services together have as many as they may have";
        case Lacking::nothing: break;
        }
        return "";
    }

    bool owner_is_full(std::uint32_t owner) const
    {
        return options_.max_per_owner != 0 && owners_[owner].rooms >= options_.max_per_owner;
    }

    bool service_is_full() const noexcept { return options_.max_instances != 0 && count_ >= options_.max_instances; }

    Lacking reserve_room(std::uint32_t index)
    {
        if (owner_is_full(entries_[index].owner))
            return Lacking::owner;
        if (service_is_full())
            return Lacking::service;
        if (budget_ && !budget_->try_take())
            return Lacking::budget;
        take_room(index);
        return Lacking::nothing;
    }

    void take_room(std::uint32_t index)
    {
        ++count_;
        if (entries_[index].owner != none)
            ++owners_[entries_[index].owner].rooms;
    }

    void give_up_room(std::uint32_t index)
    {
        --count_;
        if (entries_[index].owner != none)
            --owners_[entries_[index].owner].rooms;
        if (budget_)
            budget_->give_back();
    }

    // Decisions.

    /// Everything but that somebody may have room now.
    void stop_owner(const Digest& owner)
    {
        const std::uint32_t found = by_owner_.find(owner, owner_digest_of());
        if (found == none)
            return;
        for (std::uint32_t index = owners_[found].first; index != none;) {
            const std::uint32_t next = entries_[index].owner_links.next;
            switch (entries_[index].state) {
            case State::permit:
                refuse_all(index, Errc::reset);
                give_up_room(index);
                remove_entry(index);
                break;
            case State::starting:
                refuse_all(index, Errc::reset);
                stop(index, InstanceEnd::reset);
                break;
            case State::ready: stop(index, InstanceEnd::reset); break;
            case State::waiting:
            case State::stopping: break;
            }
            index = next;
        }
    }

    /// Tries to move an entry on from `waiting`. `fresh` is its first try, when the policy for a full pool applies.
    /// What it lacks.
    Lacking admit(Time now, std::uint32_t index, bool fresh)
    {
        Entry& entry = entries_[index];
        if (entry.after_stops && owners_[entry.owner].stopping != 0)
            return Lacking::owner;
        if (!owner_is_full(entry.owner) && claim_warm(now, index))
            return Lacking::nothing;
        const Lacking lacking = reserve_room(index);
        if (lacking == Lacking::nothing) {
            count_queued(index, -static_cast<std::ptrdiff_t>(entry.waiters.size()));
            entry.state = State::permit;
            limit_permit(now, index);
            permits_.push_back(slot_of(index));
            run_permits(now);
        } else if (fresh) {
            make_room(index, lacking);
        }
        return lacking;
    }

    /// Gives the client of a waiting entry a warm instance: one that is ready, or else the one that began first.
    bool claim_warm(Time now, std::uint32_t index)
    {
        std::uint32_t spare = none;
        if (!spares_.empty()) {
            spare = spares_.front();
            spares_.pop_front();
        } else if (!warm_starts_.empty()) {
            spare = warm_starts_.front();
            warm_starts_.erase(warm_starts_.begin());
        } else {
            return false;
        }

        const Identity identity(owners_[entries_[index].owner].digest, entries_[index].id, entries_[index].returning);
        count_queued(index, -static_cast<std::ptrdiff_t>(entries_[index].waiters.size()));
        auto waiters = std::move(entries_[index].waiters);
        remove_entry(index);
        give_owner(spare, identity);
        ++owners_[entries_[spare].owner].rooms;
        Entry& entry = entries_[spare];
        entry.warm = false;
        entry.waiters = std::move(waiters);
        for (const WaiterId waiter : entry.waiters)
            waiters_.at(waiter).entry = spare;
        if (entry.state != State::permit) {
            by_age_.push_back(*this, spare);
            entry.claimed = now;
            PoolAction action(PoolAction::Kind::assign);
            action.slot = slot_of(spare);
            action.identity = identity;
            actions_.push_back(action);
        } else {
            limit_permit(now, spare);
        }
        if (entry.state == State::ready)
            settle(now, spare);
        refill(now);
        return true;
    }

    /// The pool is full for a new entry: waits, makes room, or refuses.
    void make_room(std::uint32_t index, Lacking lacking)
    {
        // Room that is coming free already is worth waiting for.
        const std::size_t coming = lacking == Lacking::owner ? owners_[entries_[index].owner].stopping : stopping_;
        if (coming >= entries_waiting_for(index, lacking))
            return;
        if (options_.when_full == WhenFull::queue) {
            if (queued_ <= options_.queue_size || displace(owners_[entries_[index].owner].queued))
                return;
        } else if (options_.when_full != WhenFull::refuse) {
            const std::uint32_t victim = choose_victim(index, lacking);
            if (victim != none) {
                refuse_all(victim, Errc::culled);
                stop(victim, InstanceEnd::culled);
                return;
            }
        }
        refuse_all(index, Errc::full, options_.when_full == WhenFull::queue ? full_queue : name_of(lacking));
        remove_entry(index);
    }

    /// How many entries, `index` included, wait for the room that `lacking` names.
    std::size_t entries_waiting_for(std::uint32_t index, Lacking lacking) const
    {
        std::size_t count = 0;
        for (const SlotId slot : waiting_) {
            const std::uint32_t other = find(slot);
            if (other == none || entries_[other].state != State::waiting)
                continue;
            if (lacking != Lacking::owner || entries_[other].owner == entries_[index].owner)
                ++count;
        }
        return count;
    }

    std::uint32_t choose_victim(std::uint32_t index, Lacking lacking) const
    {
        const std::uint32_t owner = lacking == Lacking::owner ? entries_[index].owner : none;
        const auto eligible = [&](std::uint32_t at) { return owner == none || entries_[at].owner == owner; };
        if (options_.when_full == WhenFull::cull_idle)
            for (std::uint32_t at = unused_.first(); at != none; at = entries_[at].unused_links.next)
                if (eligible(at))
                    return at;
        std::uint32_t victim = none;
        for (std::uint32_t at = by_age_.first(); at != none; at = entries_[at].age_links.next) {
            if (!eligible(at))
                continue;
            if (options_.when_full == WhenFull::cull_oldest)
                return at;
            if (entries_[at].state == State::ready &&
                (victim == none || entries_[at].last_used < entries_[victim].last_used))
                victim = at;
        }
        return victim;
    }

    /// Lets waiting entries in, first come first served. One whose owner is full lets the others pass.
    void admit_waiting(Time now)
    {
        if (std::exchange(admitting_, true))
            return;
        std::deque<SlotId> still;
        bool room = true;
        while (!waiting_.empty()) {
            const SlotId slot = waiting_.front();
            waiting_.pop_front();
            const std::uint32_t index = find(slot);
            if (index == none || entries_[index].state != State::waiting)
                continue;
            const Lacking lacking = room ? admit(now, index, false) : Lacking::service;
            if (lacking == Lacking::service || lacking == Lacking::budget)
                room = false;
            if (lacking != Lacking::nothing)
                still.push_back(slot);
        }
        waiting_ = std::move(still);
        admitting_ = false;
    }

    void run_permits(Time now)
    {
        while (!permits_.empty() && (options_.max_starting == 0 || starting_ < options_.max_starting)) {
            const std::uint32_t index = find(permits_.front());
            permits_.pop_front();
            if (index != none && entries_[index].state == State::permit)
                start(now, index);
        }
    }

    /// A client that waits for a permit waits in line too.
    void limit_permit(Time now, std::uint32_t index)
    {
        if (options_.queue_timeout != Duration::zero())
            wheel_.arm(index, ticks_up(now + options_.queue_timeout));
    }

    void give_up_permit(std::uint32_t index)
    {
        if (std::exchange(entries_[index].has_permit, false))
            --starting_;
    }

    void start(Time now, std::uint32_t index)
    {
        Entry& entry = entries_[index];
        entry.state = State::starting;
        ++starting_;
        entry.has_permit = true;
        entry.claimed = now;
        if (!entry.warm)
            by_age_.push_back(*this, index);
        wheel_.disarm(index);
        if (options_.start_timeout != Duration::zero())
            wheel_.arm(index, ticks_up(now + options_.start_timeout));

        PoolAction action(PoolAction::Kind::start);
        action.slot = slot_of(index);
        if (!entry.warm) {
            action.waiter = entry.waiters.front();
            action.identity = Identity(owners_[entry.owner].digest, entry.id, entry.returning);
        }
        actions_.push_back(action);
    }

    /// A ready instance with an owner takes its clients in.
    void settle(Time now, std::uint32_t index)
    {
        Entry& entry = entries_[index];
        const auto waiters = std::exchange(entry.waiters, {});
        for (const WaiterId waiter : waiters) {
            waiters_.erase(waiter);
            grant(now, index, waiter);
        }
        arm(index);
    }

    void grant(Time now, std::uint32_t index, WaiterId waiter)
    {
        Entry& entry = entries_[index];
        const std::size_t limit = options_.single_use ? 1 : options_.max_sessions_per_instance;
        if (limit != 0 && entry.clients >= limit) {
            refuse(waiter, Errc::full, "its instance has as many clients as it may");
            return;
        }
        ++entry.clients;
        entry.last_used = now;
        unused_.remove(*this, index);
        PoolAction action(PoolAction::Kind::grant);
        action.waiter = waiter;
        action.slot = slot_of(index);
        actions_.push_back(action);
    }

    bool is_unused(std::uint32_t index) const
    {
        return entries_[index].state == State::ready && entries_[index].clients == 0;
    }

    /// Ends an entry that nobody waits for, because the server ends.
    void end_now(std::uint32_t index)
    {
        switch (entries_[index].state) {
        case State::permit: give_up_room(index); [[fallthrough]];
        case State::waiting: remove_entry(index); break;
        case State::starting:
        case State::ready: stop(index, InstanceEnd::stopped); break;
        case State::stopping: break;
        }
    }

    void stop(std::uint32_t index, InstanceEnd end)
    {
        Entry& entry = entries_[index];
        if (entry.warm) {
            std::erase(spares_, index);
            std::erase(warm_starts_, index);
        }
        hide(index);
        by_age_.remove(*this, index);
        unused_.remove(*this, index);
        wheel_.disarm(index);
        entry.state = State::stopping;
        ++stopping_;
        if (entry.owner != none)
            ++owners_[entry.owner].stopping;

        PoolAction action(PoolAction::Kind::stop);
        action.slot = slot_of(index);
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
        Entry& entry = entries_[index];
        give_up_permit(index);
        if (entry.state == State::stopping) {
            --stopping_;
            if (entry.owner != none)
                --owners_[entry.owner].stopping;
        }
        give_up_room(index);
        remove_entry(index);
        run_permits(now);
        admit_waiting(now);
        refill(now);
    }

    void fire(Time now, std::uint32_t index)
    {
        Entry& entry = entries_[index];
        if (entry.state == State::permit) {
            refuse_all(index, Errc::queue_timeout);
            give_up_room(index);
            remove_entry(index);
            return;
        }
        if (entry.state == State::starting) {
            if (entry.warm)
                delay_warm(now);
            refuse_all(index, Errc::start_timeout);
            stop(index, InstanceEnd::start_timeout);
            return;
        }
        if (entry.state != State::ready)
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
            action.slot = slot_of(index);
            actions_.push_back(action);
        } else {
            arm(index);
        }
    }

    /// Sets the timer of a ready instance to the nearest of its limits. A timer that is armed for earlier stays: it
    /// will find that nothing is due and be armed again, so that a busy instance costs nothing here.
    void arm(std::uint32_t index)
    {
        const Entry& entry = entries_[index];
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
        const std::uint64_t tick = ticks_up(due);
        if (!entry.timer.armed() || tick < entry.timer.due)
            wheel_.arm(index, tick);
    }

    // Warm instances.

    void refill(Time now)
    {
        if (!warming_ || closed_)
            return;
        if (warm_again_ && now < *warm_again_)
            return;
        warm_again_.reset();
        while (spares_.size() + warm_starts_.size() < options_.warm && !service_is_full()) {
            if (budget_ && !budget_->try_take())
                break;
            const std::uint32_t index = new_entry();
            entries_[index].warm = true;
            entries_[index].state = State::permit;
            take_room(index);
            warm_starts_.push_back(index);
            permits_.push_back(slot_of(index));
        }
        run_permits(now);
    }

    /// A warm instance failed: the next try waits, longer each time. Those that fail meanwhile belong to this try.
    void delay_warm(Time now)
    {
        if (warm_again_ && now < *warm_again_)
            return;
        warm_delay_ = std::clamp<Duration>(warm_delay_ * 2, std::chrono::seconds(1), std::chrono::seconds(30));
        warm_again_ = now + warm_delay_;
    }

    // Time in the wheel: milliseconds since the state was made.

    std::uint64_t ticks_down(Time time) const
    {
        return static_cast<std::uint64_t>(
            std::max<std::int64_t>(0, std::chrono::floor<std::chrono::milliseconds>(time - epoch_).count()));
    }
    std::uint64_t ticks_up(Time time) const
    {
        return static_cast<std::uint64_t>(
            std::max<std::int64_t>(0, std::chrono::ceil<std::chrono::milliseconds>(time - epoch_).count()));
    }

    PoolOptions options_;
    InstanceBudget* budget_;
    Time epoch_;

    std::vector<Entry> entries_;
    std::vector<Owner> owners_;
    std::uint32_t free_entry_ = none;
    std::uint32_t free_owner_ = none;
    detail::DigestIndex by_id_;
    detail::DigestIndex by_owner_;
    List<&Entry::age_links, &Entry::in_age> by_age_;
    List<&Entry::unused_links, &Entry::in_unused> unused_;
    detail::TimerWheel<NodeOf> wheel_;

    std::unordered_map<WaiterId, Waiter> waiters_;
    std::deque<SlotId> waiting_;                             ///< Entries without room, in order of arrival.
    std::deque<std::pair<WaiterId, Time>> queue_deadlines_;  ///< In order of time, since all wait equally long.
    std::deque<SlotId> permits_;                             ///< Entries with room that may not start yet.
    std::deque<std::uint32_t> spares_;                       ///< Warm and ready.
    std::vector<std::uint32_t> warm_starts_;                 ///< Warm and not ready yet.
    std::deque<PoolAction> actions_;

    std::size_t count_ = 0;
    std::size_t starting_ = 0;
    std::size_t stopping_ = 0;
    std::size_t queued_ = 0;
    WaiterId next_waiter_ = 1;
    Duration warm_delay_{0};
    std::optional<Time> warm_again_;
    bool warming_ = false;
    bool admitting_ = false;
    bool closed_ = false;
};

}  // namespace instancer
