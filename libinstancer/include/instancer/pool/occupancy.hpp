// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/owner_budget.hpp>

namespace instancer {

/// Counts the instances of a pool and of each owner against their caps, and the identities that wait for room.
///
/// Time: every function takes constant time.
/// Threads: one at a time.
class Occupancy {
public:
    /// A cap of 0 means that there is none.
    ///
    /// Lifetime: `table` must outlive it.
    Occupancy(InstanceTable& table, std::size_t max_instances, std::size_t max_per_owner)
        : table_(table), max_instances_(max_instances), max_per_owner_(max_per_owner)
    {
    }

    /// Other caps from now on; nothing gives up its room for that.
    ///
    /// Time: by the number of owners.
    void set_caps(std::size_t max_instances, std::size_t max_per_owner)
    {
        max_instances_ = max_instances;
        max_per_owner_ = max_per_owner;
        for (std::uint32_t owner = 0; owner < table_.owner_places(); ++owner)
            recount(owner);
    }

    /// What `owner` may still have is another number than before.
    void recount(std::uint32_t owner)
    {
        InstanceOwner& one = table_.owner(owner);
        demand_ -= one.demand;
        one.demand = demand_of(one, table_.account(owner));
        demand_ += one.demand;
    }

    /// The instance at `index` has room.
    void take(std::uint32_t index)
    {
        ++instances_;
        if (table_[index].owner != none)
            charge(index);
    }

    /// The owner of the instance at `index`, which has room, has just got it.
    void charge(std::uint32_t index)
    {
        change_owner(index, [](InstanceOwner& owner) { ++owner.rooms; });
        table_.owner_of(index).live.push_front(index, detail::links_in<&InstanceEntry::owner_links>(table_));
    }

    /// The instance at `index` is being stopped.
    void stop(std::uint32_t index)
    {
        ++stopping_;
        remove_from_live(index);
        change_owner(index, [](InstanceOwner& owner) { ++owner.stopping; });
    }

    /// The instance at `index` gives up its room.
    void give_up(std::uint32_t index)
    {
        const bool stopped = table_[index].state == SlotState::stopping;
        --instances_;
        stopping_ -= stopped ? 1 : 0;
        remove_from_live(index);
        change_owner(index, [stopped](InstanceOwner& owner) {
            --owner.rooms;
            owner.stopping -= stopped ? 1 : 0;
        });
    }

    /// The identity of the entry at `index` waits for room.
    void begin_waiting(std::uint32_t index)
    {
        change_owner(index, [](InstanceOwner& owner) { ++owner.waiting; });
    }

    /// It does so no more.
    void end_waiting(std::uint32_t index)
    {
        change_owner(index, [](InstanceOwner& owner) { --owner.waiting; });
    }

    /// Whether an owner has as many instances as one may have here.
    bool owner_is_full_here(std::uint32_t owner) const
    {
        return max_per_owner_ != 0 && table_.owner(owner).rooms >= max_per_owner_;
    }
    /// Whether an owner has as many instances as one may have here, or in all pools.
    bool owner_is_full(std::uint32_t owner) const { return owner_is_full_here(owner) || account_is_full(owner); }
    /// Whether there are as many instances as there may be.
    bool is_full() const noexcept { return max_instances_ != 0 && instances_ >= max_instances_; }

    /// Whether the stops of an owner make enough room for its identities that wait, and for `newcomers` besides.
    bool comes_to_owner(std::uint32_t owner, std::size_t newcomers = 0) const
    {
        const InstanceOwner& one = table_.owner(owner);
        return (!owner_is_full_here(owner) || one.stopping >= one.waiting + newcomers) &&
               (!account_is_full(owner) || table_.account(owner)->comes_to_all(newcomers));
    }
    /// Whether all stops together make enough room for all that wait, and for `newcomers` besides.
    bool comes_to_all(std::size_t newcomers = 0) const noexcept { return stopping_ >= demand_ + newcomers; }

    /// By how much one more identity of `owner`, which may be unknown, would raise the demand.
    std::size_t demand_of_newcomer(std::uint32_t owner) const
    {
        if (owner == none)
            return 1;
        InstanceOwner one = table_.owner(owner);
        ++one.waiting;
        return demand_of(one, table_.account(owner)) - one.demand;
    }

    /// Instances that have room.
    std::size_t instances() const noexcept { return instances_; }
    /// Of these, those that are being stopped.
    std::size_t stopping() const noexcept { return stopping_; }
    /// Identities that wait for room, of each owner as many as it may still have.
    std::size_t demand() const noexcept { return demand_; }
    /// Of these, as many as there may still be.
    std::size_t admissible() const noexcept
    {
        return max_instances_ == 0 ? demand_ : std::min(demand_, room(max_instances_, instances_ - stopping_));
    }

private:
    static constexpr std::uint32_t none = detail::no_index;

    bool account_is_full(std::uint32_t owner) const
    {
        const OwnerAccount* const account = table_.account(owner);
        return account && account->is_full();
    }

    void remove_from_live(std::uint32_t index)
    {
        if (table_[index].owner != none)
            table_.owner_of(index).live.erase(index, detail::links_in<&InstanceEntry::owner_links>(table_));
    }

    static std::size_t room(std::size_t cap, std::size_t kept) noexcept { return cap - std::min(cap, kept); }

    /// What is being stopped keeps nobody from waiting for its room.
    std::uint32_t demand_of(const InstanceOwner& owner, const OwnerAccount* account) const
    {
        std::size_t demand = owner.waiting;
        if (max_per_owner_ != 0)
            demand = std::min(demand, room(max_per_owner_, owner.rooms - owner.stopping));
        if (account)
            demand = std::min(demand, account->room());
        return static_cast<std::uint32_t>(demand);
    }

    /// Keeps `demand_` and the account of the owner right while `change` is made to the owner of an entry, if it has
    /// one.
    template <class Change>
    void change_owner(std::uint32_t index, const Change& change)
    {
        if (table_[index].owner == none)
            return;
        InstanceOwner& owner = table_.owner_of(index);
        OwnerAccount* const account = table_.account(table_[index].owner);
        if (account)
            account->subtract(owner);
        change(owner);
        if (account)
            account->add(owner);
        else
            recount(table_[index].owner);
    }

    InstanceTable& table_;
    std::size_t max_instances_;
    std::size_t max_per_owner_;
    std::size_t instances_ = 0;
    std::size_t stopping_ = 0;
    std::size_t demand_ = 0;
};

}  // namespace instancer
