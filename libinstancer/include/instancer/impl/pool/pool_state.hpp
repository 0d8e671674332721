// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/detail/config.hpp>
#include <instancer/pool/pool_state.hpp>

namespace instancer {

INSTANCER_DECL PoolState::PoolState(const PoolOptions& options, Time now, InstanceBudget* budget)
    : options_(options),
      budget_(budget),
      occupancy_(table_, options.max_instances, options.max_per_owner),
      victims_(table_, options.when_full == WhenFull::cull_idle, now),
      limits_(options),
      ticks_(now),
      wheel_(NodeOf(this))
{
    if (budget_)
        budget_->add(*this);
}

INSTANCER_DECL PoolState::~PoolState()
{
    if (!budget_)
        return;
    for (std::uint32_t owner = 0; owner < table_.owner_places(); ++owner)
        leave_account(owner);
    budget_->remove(*this);
}

INSTANCER_DECL WaiterId PoolState::acquire(Time now, const Identity& identity, bool reset,
                                           const std::optional<Digest>& common_owner)
{
    if (closed_) {
        const WaiterId waiter = waiters_.pass();
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
    if (found != none)
        join_account(table_[found].owner, common_owner);
    if (found != none && table_[found].state == SlotState::ready) {
        const WaiterId waiter = waiters_.pass();
        grant(now, found, waiter);
        return waiter;
    }
    const std::uint32_t client = waiters_.add();
    const WaiterId waiter = waiters_.id(client);
    if (found == none)
        let_in(now, identity, client, reset, common_owner);
    else if (table_[found].queued && queue_is_full() && !evict_queued(queue_.waiting_of(table_[found].owner) + 1))
        refuse(waiters_.remove(client), Errc::full, Limit::queue);
    else
        add_waiter(now, found, client);
    return waiter;
}

INSTANCER_DECL void PoolState::abandon(Time now, WaiterId waiter)
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

INSTANCER_DECL void PoolState::release(Time now, SlotId slot)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none)
        return;
    InstanceEntry& entry = table_[index];
    if (--entry.clients != 0 || entry.state != SlotState::ready)
        return;
    entry.last_used = now;
    if (ends_unused(entry, now)) {
        stop(index, closed_ ? InstanceEnd::stopped : InstanceEnd::unused);
        return;
    }
    victims_.unused(index);
    arm(index);
    if (queue_.size() == 0 && !budget_)
        return;  // Nobody waits for its room.
    if (occupancy_.owner_is_full(entry.owner) && !occupancy_.comes_to_owner(entry.owner))
        evict(Limit::owner, entry.owner);
    make_way();
}

INSTANCER_DECL void PoolState::ready(Time now, SlotId slot)
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

INSTANCER_DECL void PoolState::start_failed(Time now, SlotId slot, Errc error)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none)
        return;
    if (table_[index].warm)
        stock_.failed(now);
    refuse_all(index, error);
    gone(now, index);
}

INSTANCER_DECL void PoolState::died(Time now, SlotId slot)
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

INSTANCER_DECL void PoolState::active(Time now, SlotId slot, Time last)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none || table_[index].state != SlotState::ready || table_[index].clients == 0)
        return;
    InstanceEntry& entry = table_[index];
    entry.last_used = std::max(entry.last_used, last);
    victims_.answered(index, now);
    if (!TimeLimits::is_kept(entry, now) && limits_.is_idle(entry, now))
        stop(index, InstanceEnd::idle);
    else
        warn_or_wait(now, index);
}

INSTANCER_DECL bool PoolState::stop(Time now, SlotId slot)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none || table_[index].state == SlotState::stopping)
        return false;
    refuse_all(index, Errc::stopping);
    end_now(index);
    go_on(now);
    return true;
}

INSTANCER_DECL bool PoolState::extend(SlotId slot, Time until)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none || table_[index].state == SlotState::stopping)
        return false;
    table_[index].kept_until = until;
    if (table_[index].state == SlotState::ready && !table_[index].warm)
        arm(index);
    return true;
}

INSTANCER_DECL Extension PoolState::extend_ttl(Time now, SlotId slot)
{
    const std::uint32_t index = table_.find(slot);
    if (index == none || table_[index].state != SlotState::ready || table_[index].warm)
        return Extension(Extension::Answer::no_instance);
    const auto extension = limits_.extend(table_[index], options_, now);
    if (extension.answer == Extension::Answer::granted)
        arm(index);
    return extension;
}

INSTANCER_DECL std::optional<SlotId> PoolState::find(const Identity& identity) const
{
    const std::uint32_t index = table_.find(identity.id());
    return index == none ? std::nullopt : std::optional(table_.slot_of(index));
}

INSTANCER_DECL void PoolState::replace_options(Time now, PoolOptions options)
{
    options.single_use = options_.single_use;
    options_ = options;
    occupancy_.set_caps(options.max_instances, options.max_per_owner);
    victims_.set_by_silence(options.when_full == WhenFull::cull_idle);
    limits_.set(options, table_);
    // Whoever comes next waits at least as long as those before, who may have waited without a limit.
    if (options.queue_timeout != Duration::zero())
        queue_.cap_deadlines(now + options.queue_timeout);
    for (std::uint32_t owner = 0; owner < table_.owner_places(); ++owner)
        queue_.resume(owner);
    trim_warm();
    go_on(now);
}

INSTANCER_DECL std::optional<SlotId> PoolState::adopt(Time now, const Identity& identity, Duration age,
                                                      std::chrono::seconds extended)
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
    entry.extended = static_cast<std::uint32_t>(extended.count());
    limits_.apply(entry);
    entry.last_used = now;
    victims_.add(index);
    victims_.unused(index);
    arm(index);
    return table_.slot_of(index);
}

INSTANCER_DECL void PoolState::tick(Time now)
{
    while (const auto index = wheel_.advance(ticks_.down(now)))
        fire(now, *index);
    for (auto due = queue_.next_deadline(); due && *due <= now; due = queue_.next_deadline())
        give_up_waiting(queue_.first_due(), Errc::queue_timeout, Limit::service);
    admit_waiting(now);
    refill(now);
}

INSTANCER_DECL void PoolState::drain(Time now)
{
    if (std::exchange(closed_, true))
        return;
    for (std::uint32_t index = 0; index < table_.size(); ++index)
        if (table_[index].used && (table_[index].warm || is_unused(index)))
            end_now(index);
    admit_waiting(now);
    refill(now);
}

INSTANCER_DECL void PoolState::close(Time now)
{
    drain(now);
    for (std::uint32_t index = 0; index < table_.size(); ++index) {
        if (!table_[index].used)
            continue;
        refuse_all(index, Errc::stopping);
        end_now(index);
    }
}

INSTANCER_DECL std::optional<PoolState::Time> PoolState::next_deadline() const
{
    std::optional<Time> next = queue_.next_deadline();
    const auto consider = [&next](Time time) { next = next ? std::min(*next, time) : time; };
    if (const auto due = wheel_.next_due())
        consider(ticks_.time(*due));
    if (stock_.next_try() && warming_ && !closed_)
        consider(*stock_.next_try());
    return next;
}

INSTANCER_DECL std::optional<PoolState::Time> PoolState::deadline_of(SlotId slot) const
{
    const std::uint32_t index = table_.find(slot);
    if (index == none || table_[index].state != SlotState::ready || table_[index].warm)
        return std::nullopt;
    const Time due = limits_.due(table_[index]);
    return due == Time::max() ? std::nullopt : std::optional(due);
}

INSTANCER_DECL std::optional<SlotId> PoolState::wants_activity(Time now, const Identity& identity)
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

INSTANCER_DECL std::optional<PoolAction> PoolState::foresee_refusal(const Identity& identity, bool reset,
                                                                    const std::optional<Digest>& common_owner) const
{
    const std::uint32_t owner = table_.find_owner(identity.owner());
    // The end of its own instances makes room.
    if (reset && owner != none)
        return std::nullopt;
    const OwnerAccount* account = table_.account(owner);
    if (!account && common_owner && budget_)
        account = budget_->owners().find(*common_owner);
    const Limit lacking = lack_of_newcomer(owner, account);
    if (lacking == Limit::nothing || may_have_room(lacking, owner, account))
        return std::nullopt;
    const bool queues = options_.when_full == WhenFull::queue;
    return refusal(Errc::full, queues ? Limit::queue : lacking, owner, account);
}

INSTANCER_DECL std::vector<WaiterId> PoolState::queue_order() const
{
    std::vector<WaiterId> names;
    for (const std::uint32_t client : queue_.order())
        names.push_back(waiters_.id(client));
    return names;
}

INSTANCER_DECL PoolLoad PoolState::load() const noexcept
{
    PoolLoad load;
    load.delayed_starts = queued();
    for (std::uint32_t at = permits_.first(); at != none; at = table_[at].age_links.next)
        load.delayed_starts += table_[at].warm ? 0 : 1;
    load.instances = instances();
    load.in_use = instances() - unused();
    load.max_instances = options_.max_instances;
    return load;
}

INSTANCER_DECL void PoolState::unlink(std::uint32_t index)
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

INSTANCER_DECL void PoolState::join_account(std::uint32_t owner, const std::optional<Digest>& common_owner)
{
    if (!common_owner || !budget_ || !budget_->owners().limited())
        return;
    if (table_.account(owner))
        return;
    OwnerAccount& account = budget_->owners().join(*common_owner, *this, owner);
    table_.set_account(owner, &account);
    account.add(table_.owner(owner));
}

INSTANCER_DECL void PoolState::leave_account(std::uint32_t owner)
{
    OwnerAccount* const account = table_.account(owner);
    if (!account)
        return;
    table_.set_account(owner, nullptr);
    account->subtract(table_.owner(owner));
    budget_->owners().leave(*account, *this);
}

INSTANCER_DECL void PoolState::enqueue(Time now, std::uint32_t index)
{
    InstanceEntry& entry = table_[index];
    entry.queued = true;
    occupancy_.begin_waiting(index);
    for (std::uint32_t at = entry.waiters.first(); at != none; at = waiters_.next(at))
        push_to_queue(now, index, at);
}

INSTANCER_DECL void PoolState::dequeue(std::uint32_t index)
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

INSTANCER_DECL PoolAction PoolState::refusal(Errc error, Limit limit, std::uint32_t owner,
                                             const OwnerAccount* account) const
{
    PoolAction action(PoolAction::Kind::refuse);
    action.error = error;
    if (error == Errc::full)
        action.limit = name_of(limit);
    switch (limit) {
    case Limit::owner:
        action.error = Errc::owner_full;
        action.unused = owner == none ? 0 : victims_.count_unused(owner);
        if (owner != none && occupancy_.owner_is_full_here(owner)) {
            action.instances = table_.owner(owner).rooms;
        } else {
            action.limit = "its owner has as many as one may have in all services (the daemon's max-per-owner)";
            action.instances = account->rooms();
        }
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
    return action;
}

INSTANCER_DECL void PoolState::refuse_all(std::uint32_t index, Errc error, Limit limit)
{
    while (table_[index].waiters.size() != 0) {
        const std::uint32_t last = table_[index].waiters.last();
        refuse(remove_waiter(last), error, limit, table_[index].owner);
    }
}

INSTANCER_DECL void PoolState::give_up_waiting(std::uint32_t client, Errc error, Limit limit)
{
    const std::uint32_t index = waiters_.entry(client);
    refuse(remove_waiter(client), error, limit);
    if (table_[index].waiters.size() == 0)
        remove_entry(index);
}

INSTANCER_DECL void PoolState::refuse_queued(const Digest& digest)
{
    const std::uint32_t owner = table_.find_owner(digest);
    while (owner != none && queue_.waiting_of(owner) != 0)
        give_up_waiting(queue_.first_of(owner), Errc::reset, Limit::nothing);
}

INSTANCER_DECL const char* PoolState::name_of(Limit limit) noexcept
{
    switch (limit) {
    case Limit::owner: return "its owner has as many as one may have (max-per-owner)";
    case Limit::service: return "the service has as many as it may have (max-instances)";
    case Limit::budget: return "the services together have as many as they may have (the daemon's max-instances)";
    case Limit::queue: return "all instances are taken and the queue is full (queue-size)";
    case Limit::sessions: return "its instance has as many clients as it may (max-sessions)";
    case Limit::stops:
    case Limit::nothing: break;
    }
    return "";
}

INSTANCER_DECL PoolState::Limit PoolState::lack_of_newcomer(std::uint32_t owner, const OwnerAccount* account) const
{
    if ((owner != none && occupancy_.owner_is_full_here(owner)) || (account && account->is_full()))
        return Limit::owner;
    if (stock_.first() != none)
        return Limit::nothing;
    if (occupancy_.is_full())
        return Limit::service;
    return budget_ && budget_->is_full() ? Limit::budget : Limit::nothing;
}

INSTANCER_DECL bool PoolState::may_have_room(Limit lacking, std::uint32_t owner, const OwnerAccount* account) const
{
    switch (options_.when_full) {
    case WhenFull::cull_oldest:
    case WhenFull::cull_idle: return true;
    case WhenFull::queue:
        if (queue_.size() < options_.queue_size || queue_.largest() > queue_.waiting_of(owner) + 1)
            return true;
        break;
    case WhenFull::refuse: break;
    }
    switch (lacking) {
    case Limit::owner:
        if (owner != none && (victims_.longest_unused(owner) != none || occupancy_.comes_to_owner(owner, 1)))
            return true;
        return account && account->is_full() && (account->has_unused() || account->comes_to_all(1));
    case Limit::budget: return budget_->unused() != 0 || budget_->comes_to(*this, occupancy_.demand_of_newcomer(owner));
    default: return victims_.longest_unused() != none || occupancy_.comes_to_all(occupancy_.demand_of_newcomer(owner));
    }
}

INSTANCER_DECL bool PoolState::evict(Limit lacking, std::uint32_t owner)
{
    if (lacking == Limit::budget)
        return budget_->reclaim();
    const std::uint32_t index = victims_.longest_unused(lacking == Limit::owner ? owner : none);
    if (index == none) {
        OwnerAccount* const account = lacking == Limit::owner ? table_.account(owner) : nullptr;
        return account && account->is_full() && account->reclaim();
    }
    stop(index, InstanceEnd::culled);
    return true;
}

INSTANCER_DECL bool PoolState::cull(Limit lacking, std::uint32_t owner)
{
    const std::uint32_t victim = victims_.choose(options_.when_full, lacking == Limit::owner ? owner : none);
    if (victim == none)
        return false;
    if (lacking == Limit::budget)
        budget_->go_first(*this);
    refuse_all(victim, Errc::culled);
    stop(victim, InstanceEnd::culled);
    return true;
}

INSTANCER_DECL void PoolState::make_way()
{
    while (occupancy_.is_full() && !occupancy_.comes_to_all() && evict(Limit::service, none)) {}
    while (budget_ && budget_->is_short() && budget_->reclaim()) {}
}

INSTANCER_DECL void PoolState::stop_owner(const Digest& digest)
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

INSTANCER_DECL void PoolState::let_in(Time now, const Identity& identity, std::uint32_t client, bool after_stops,
                                      const std::optional<Digest>& common_owner)
{
    if (budget_)
        admit_waiting(now);  // Room in the budget comes free unseen; who waits already is served first.
    const std::uint32_t index = table_.add(identity);
    table_[index].after_stops = after_stops;
    join_account(table_[index].owner, common_owner);
    waiters_.wait(client, index);
    const Limit lacking = admit(now, index);
    if (lacking == Limit::nothing)
        return;
    enqueue(now, index);
    if (lacking != Limit::stops)
        make_room(index, lacking);
}

INSTANCER_DECL PoolState::Limit PoolState::admit(Time now, std::uint32_t index)
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

INSTANCER_DECL bool PoolState::claim_warm(Time now, std::uint32_t index)
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
    limits_.apply(entry);
    occupancy_.charge(spare);
    if (entry.state == SlotState::permit) {
        limit_permit(now, spare);
    } else {
        victims_.add(spare);
        entry.claimed = now;
        PoolAction action(PoolAction::Kind::assign);
        action.slot = table_.slot_of(spare);
        action.waiter = waiters_.id(entry.waiters.first());
        action.identity = identity;
        actions_.push_back(action);
    }
    if (entry.state == SlotState::ready)
        settle(now, spare);
    refill(now);
    return true;
}

INSTANCER_DECL void PoolState::make_room(std::uint32_t index, Limit lacking)
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

INSTANCER_DECL void PoolState::admit_waiting(Time now)
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

INSTANCER_DECL void PoolState::start(Time now, std::uint32_t index)
{
    permits_.erase(index);
    InstanceEntry& entry = table_[index];
    entry.state = SlotState::starting;
    ++starting_;
    entry.has_permit = true;
    entry.claimed = now;
    limits_.apply(entry);
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

INSTANCER_DECL void PoolState::settle(Time now, std::uint32_t index)
{
    while (table_[index].waiters.size() != 0) {
        const std::uint32_t client = table_[index].waiters.first();
        grant(now, index, waiters_.remove(client));
    }
    arm(index);
}

INSTANCER_DECL void PoolState::grant(Time now, std::uint32_t index, WaiterId waiter)
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
    PoolAction& action = actions_.emplace_back(PoolAction::Kind::grant);
    action.waiter = waiter;
    action.slot = table_.slot_of(index);
    if (limits_.has_warned(entry))
        warn(index);
}

INSTANCER_DECL void PoolState::warn(std::uint32_t index)
{
    PoolAction action(PoolAction::Kind::warn);
    action.slot = table_.slot_of(index);
    action.coming = limits_.coming_end(table_[index]);
    table_[index].warned_of = action.coming.time;
    actions_.push_back(action);
}

INSTANCER_DECL void PoolState::warn_or_wait(Time now, std::uint32_t index)
{
    if (limits_.warning_due(table_[index]) <= now)
        warn(index);
    arm(index);
}

INSTANCER_DECL void PoolState::end_now(std::uint32_t index)
{
    switch (table_[index].state) {
    case SlotState::permit: give_up_room(index); [[fallthrough]];
    case SlotState::waiting: remove_entry(index); break;
    case SlotState::starting:
    case SlotState::ready: stop(index, InstanceEnd::stopped); break;
    case SlotState::stopping: break;
    }
}

INSTANCER_DECL void PoolState::stop(std::uint32_t index, InstanceEnd end)
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

INSTANCER_DECL void PoolState::fire(Time now, std::uint32_t index)
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
    const bool kept = TimeLimits::is_kept(entry, now), idle = !kept && limits_.is_idle(entry, now);
    const bool depends = idle || (limits_.ends_idle(entry) && limits_.warning_due(entry) <= now);
    if (!kept && limits_.is_expired(entry, now)) {
        stop(index, InstanceEnd::expired);
    } else if (!kept && limits_.has_lingered(entry, now)) {
        stop(index, InstanceEnd::unused);
    } else if (entry.clients != 0 && depends) {
        PoolAction action(PoolAction::Kind::check_activity);
        action.slot = table_.slot_of(index);
        actions_.push_back(action);
    } else if (idle) {
        stop(index, InstanceEnd::idle);
    } else {
        warn_or_wait(now, index);
    }
}

INSTANCER_DECL void PoolState::arm(std::uint32_t index)
{
    const InstanceEntry& entry = table_[index];
    const Time due = std::min(limits_.due(entry), limits_.warning_due(entry));
    if (due == Time::max())
        wheel_.disarm(index);
    else if (!entry.timer.armed() || due < ticks_.time(entry.timer.due))
        wheel_.arm(index, ticks_.up(due));
}

INSTANCER_DECL void PoolState::refill(Time now)
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

}  // namespace instancer
