// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <instancer/detail/pool/digest_index.hpp>
#include <instancer/detail/pool/index_list.hpp>
#include <instancer/detail/pool/large_vector.hpp>
#include <instancer/detail/pool/timer_wheel.hpp>
#include <instancer/identity.hpp>

namespace instancer {

/// Names one instance of a pool, from the decision to start it until it is gone. Never used twice.
class SlotId {
public:
    SlotId() = default;
    /// The slot at `index`, the `generation`th time that it is used.
    SlotId(std::uint32_t index, std::uint32_t generation) : index_(index), generation_(generation) {}

    /// The slot whose `key` this is.
    static SlotId from_key(std::uint64_t key)
    {
        return SlotId(static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32));
    }

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

/// How far an instance has come.
enum class SlotState : std::uint8_t {
    waiting,   ///< No room yet.
    permit,    ///< Has room; waits until it may start.
    starting,  ///< Starts.
    ready,     ///< Accepts sessions.
    stopping,  ///< Holds its room; no longer found by its identity.
};

/// One instance of a pool, or an identity that waits for one. There may be a million: what finding an instance and
/// beginning a session on it touches stands first, in a cache line of its own.
class alignas(64) InstanceEntry {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    Digest id;                               ///< Of its identity.
    std::uint32_t owner = detail::no_index;  ///< In the table of owners; none for a warm instance.
    std::uint32_t generation = 0;            ///< How often the place was used before.
    std::uint32_t clients = 0;               ///< Sessions that were granted and not released.
    SlotState state = SlotState::waiting;    ///< How far it has come.
    bool used = false;                       ///< The place is taken.
    bool returning = true;                   ///< Its identity can come back.
    bool warm = false;                       ///< Has no owner yet.
    bool after_stops = false;                ///< Must not start before every stop of its owner is done.
    bool queued = false;                     ///< Waits for room, and is counted as waiting.
    bool listed = false;                     ///< Its identity finds it.
    bool has_permit = false;                 ///< Counts as starting, also while a start that was given up is undone.
    detail::IndexList waiters;               ///< Clients that wait for it.
    Time last_used{};                        ///< Last known byte, or when the last client left.
    detail::ListLinks stock_links;           ///< Among those without clients: unused, or warm.
    detail::ListLinks age_links;             ///< Among those that may not start yet, or else all that have an owner.
    detail::ListLinks owner_links;           ///< Among those of its owner that have room.
    detail::TimerNode timer;                 ///< Its next limit.
    Time claimed{};                          ///< When it got its owner.
    Time kept_until = Time::min();           ///< No time limit ends it before.
    Time warned_of = Time::min();            ///< The end by time that its sessions know of.
    std::uint32_t limits = 0;                ///< Which time limits it has.
    std::uint32_t extended = 0;              ///< Seconds by which its time to live was extended.

    InstanceEntry() = default;
};
static_assert(sizeof(InstanceEntry) == 128);

class OwnerAccount;

/// The entries and instances that count against an owner.
class InstanceOwner {
public:
    Digest digest;               ///< Names the owner.
    detail::IndexStack live;     ///< Instances that have room and are not being stopped, newest first.
    std::uint32_t entries = 0;   ///< Instances, and identities that wait for one. Of a free record, the next free one.
    std::uint32_t rooms = 0;     ///< Instances that hold room.
    std::uint32_t stopping = 0;  ///< Of these, those that are being stopped.
    std::uint32_t waiting = 0;   ///< Identities that wait for room.
    std::uint32_t demand = 0;    ///< Of these, as many as it may still have.

    InstanceOwner() = default;
};
static_assert(sizeof(InstanceOwner) <= 40);

/// The instances of a pool and their owners, found by identity or by place.
///
/// Time: every function takes constant time, on average over many calls.
/// Threads: one at a time.
class InstanceTable {
public:
    static constexpr std::uint32_t none = detail::no_index;  ///< No instance, no owner.

    /// The entry at `index`.
    InstanceEntry& operator[](std::uint32_t index) { return entries_[index]; }
    /// The entry at `index`.
    const InstanceEntry& operator[](std::uint32_t index) const { return entries_[index]; }
    /// The owner at `index`.
    InstanceOwner& owner(std::uint32_t index) { return owners_[index]; }
    /// The owner at `index`.
    const InstanceOwner& owner(std::uint32_t index) const { return owners_[index]; }
    /// The owner of an entry that has one.
    InstanceOwner& owner_of(std::uint32_t index) { return owners_[entries_[index].owner]; }

    /// What the owner at `index` has in all pools; null where the owner is unknown, or that does not count.
    OwnerAccount* account(std::uint32_t index) const { return index < accounts_.size() ? accounts_[index] : nullptr; }

    /// Sets the account of the owner at `index`; null: it has none.
    void set_account(std::uint32_t index, OwnerAccount* account)
    {
        if (index >= accounts_.size())
            accounts_.resize(owners_.size());
        accounts_[index] = account;
    }

    /// Owners, free places included.
    std::uint32_t owner_places() const noexcept { return static_cast<std::uint32_t>(owners_.size()); }

    /// Places, free ones included.
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(entries_.size()); }

    /// The name of the instance at `index`.
    SlotId slot_of(std::uint32_t index) const { return SlotId(index, entries_[index].generation); }

    /// Where the instance is; none when it is gone.
    std::uint32_t find(SlotId slot) const
    {
        const std::uint32_t index = slot.index();
        return index < entries_.size() && entries_[index].used && slot_of(index) == slot ? index : none;
    }

    /// The instance of an identity.
    std::uint32_t find(const Digest& id) const
    {
        return by_id_.find(id, [this](std::uint32_t index) -> const Digest& { return entries_[index].id; });
    }

    /// An owner who has any entry.
    std::uint32_t find_owner(const Digest& owner) const
    {
        return by_owner_.find(owner, [this](std::uint32_t index) -> const Digest& { return owners_[index].digest; });
    }

    /// The owner of an entry that has one.
    Identity identity_of(std::uint32_t index) const
    {
        const InstanceEntry& entry = entries_[index];
        return Identity(owners_[entry.owner].digest, entry.id, entry.returning);
    }

    /// A new entry without an owner.
    std::uint32_t add()
    {
        const std::uint32_t index = free_entry_ == none ? size() : free_entry_;
        if (free_entry_ == none)
            entries_.emplace_back();
        else
            free_entry_ = std::exchange(entries_[index].owner, none);
        entries_[index].used = true;
        return index;
    }

    /// A new entry of `identity`, which has none.
    std::uint32_t add(const Identity& identity)
    {
        const std::uint32_t index = add();
        give_owner(index, identity);
        return index;
    }

    /// The entry at `index` belongs to `identity`, which has none, from now on.
    void give_owner(std::uint32_t index, const Identity& identity)
    {
        const std::uint32_t owner = find_or_add_owner(identity.owner());
        ++owners_[owner].entries;
        InstanceEntry& entry = entries_[index];
        entry.owner = owner;
        entry.id = identity.id();
        entry.returning = identity.returning();
        entry.listed = true;
        by_id_.insert(identity.id(), index);
    }

    /// Its identity no longer finds the entry; a new one of that identity may exist beside it.
    void hide(std::uint32_t index)
    {
        if (std::exchange(entries_[index].listed, false))
            by_id_.erase(entries_[index].id, index);
    }

    /// Forgets an entry that no list holds any more, and its owner with the last one.
    void remove(std::uint32_t index)
    {
        hide(index);
        if (entries_[index].owner != none && --owner_of(index).entries == 0)
            remove_owner(entries_[index].owner);
        const std::uint32_t generation = entries_[index].generation + 1;
        entries_[index] = InstanceEntry();
        entries_[index].generation = generation;
        entries_[index].owner = std::exchange(free_entry_, index);
    }

private:
    std::uint32_t find_or_add_owner(const Digest& digest)
    {
        std::uint32_t owner = find_owner(digest);
        if (owner != none)
            return owner;
        owner = free_owner_;
        if (owner == none) {
            owner = static_cast<std::uint32_t>(owners_.size());
            owners_.emplace_back();
        } else {
            free_owner_ = owners_[owner].entries;
            owners_[owner] = InstanceOwner();
        }
        owners_[owner].digest = digest;
        by_owner_.insert(digest, owner);
        return owner;
    }

    void remove_owner(std::uint32_t owner)
    {
        by_owner_.erase(owners_[owner].digest, owner);
        owners_[owner].entries = std::exchange(free_owner_, owner);
    }

    detail::LargeVector<InstanceEntry> entries_;
    detail::LargeVector<InstanceOwner> owners_;
    std::vector<OwnerAccount*> accounts_;  ///< Of the owners, beside them: where none counts, none takes memory.
    std::uint32_t free_entry_ = none;
    std::uint32_t free_owner_ = none;
    detail::DigestIndex by_id_;
    detail::DigestIndex by_owner_;
};

/// A list of entries, linked by one of their members.
template <detail::ListLinks InstanceEntry::*links>
class InstanceList {
public:
    /// Lifetime: `table` must outlive the list.
    explicit InstanceList(InstanceTable& table) : table_(table) {}

    /// Adds the entry at the end, unless it is there.
    void push_back(std::uint32_t index) { list_.push_back(index, detail::links_in<links>(table_)); }
    /// Removes the entry, which is in this list or in none.
    void erase(std::uint32_t index) { list_.erase(index, detail::links_in<links>(table_)); }
    /// The first one; none when it is empty.
    std::uint32_t first() const noexcept { return list_.first(); }
    /// Entries in it.
    std::size_t size() const noexcept { return list_.size(); }

private:
    InstanceTable& table_;
    detail::IndexList list_;
};

}  // namespace instancer
