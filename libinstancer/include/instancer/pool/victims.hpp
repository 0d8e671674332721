// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <instancer/pool/instance_table.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/pool/silence_order.hpp>

namespace instancer {

/// Which instance makes room for others: the longest unused, the oldest, or the one that has been silent for longest.
/// An owner of `none` stands for all owners.
///
/// Time: constant, on average over many calls; for one owner by the number of its instances that have room.
/// Threads: one at a time.
class Victims {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::uint32_t none = detail::no_index;  ///< No instance, no owner.

    /// With `by_silence`, `longest_silent` may be asked for all owners. `epoch` is not after any other time.
    ///
    /// Lifetime: `table` must outlive it.
    Victims(InstanceTable& table, bool by_silence, Time epoch)
        : table_(table), by_age_(table), unused_(table), by_silence_(by_silence), silence_(epoch)
    {
    }

    /// Sets whether `longest_silent` may be asked for all owners from now on.
    ///
    /// Time: by the number of instances.
    void set_by_silence(bool by_silence)
    {
        if (std::exchange(by_silence_, by_silence) || !by_silence)
            return;
        for (std::uint32_t at = by_age_.first(); at != none; at = table_[at].age_links.next)
            if (table_[at].clients != 0)
                silence_.heard(at, table_[at].last_used);
    }

    /// The instance at `index` starts for an owner, or got one.
    void add(std::uint32_t index) { by_age_.push_back(index); }

    /// It has one client more.
    void used(std::uint32_t index, Time now)
    {
        unused_.erase(index);
        if (by_silence_)
            silence_.heard(index, now);
    }

    /// At `now` its last byte was asked for, and its entry tells the answer.
    void answered(std::uint32_t index, Time now)
    {
        if (by_silence_)
            silence_.answered(index, table_[index].last_used, now);
    }

    /// It has no client any more.
    void unused(std::uint32_t index)
    {
        silence_.erase(index);
        unused_.push_back(index);
    }

    /// It must not be stopped any more.
    void remove(std::uint32_t index)
    {
        by_age_.erase(index);
        unused_.erase(index);
        silence_.erase(index);
    }

    /// The instance that has been without a client for longest.
    std::uint32_t longest_unused(std::uint32_t owner = none) const
    {
        return owner == none ? unused_.first() : earliest_of(owner, &InstanceEntry::last_used, is_unused);
    }

    /// The instance that has had its owner for longest.
    std::uint32_t oldest(std::uint32_t owner = none) const
    {
        if (owner == none)
            return by_age_.first();
        return earliest_of(owner, &InstanceEntry::claimed,
                           [](const InstanceEntry& entry) { return entry.state != SlotState::permit; });
    }

    /// The instance with clients that has been silent for longest, by what is known.
    std::uint32_t longest_silent(std::uint32_t owner = none)
    {
        if (owner == none)
            return silence_.first();
        return earliest_of(owner, &InstanceEntry::last_used,
                           [](const InstanceEntry& entry) { return entry.clients != 0; });
    }

    /// The instance that makes room in a full pool, by its `policy`: `none` where nobody is culled.
    std::uint32_t choose(WhenFull policy, std::uint32_t owner = none)
    {
        switch (policy) {
        case WhenFull::cull_oldest: return oldest(owner);
        case WhenFull::cull_idle: return longest_silent(owner);
        default: return none;
        }
    }

    /// Whether it is worth asking for the last byte of one that `longest_silent` named.
    bool is_unsure(std::uint32_t index, Time now) const { return silence_.is_unsure(index, now); }

    /// Instances without a client.
    std::size_t count_unused(std::uint32_t owner = none) const
    {
        if (owner == none)
            return unused_.size();
        std::size_t count = 0;
        for (std::uint32_t at = table_.owner(owner).live.first(); at != none; at = table_[at].owner_links.next)
            count += is_unused(table_[at]) ? 1 : 0;
        return count;
    }

private:
    static bool is_unused(const InstanceEntry& entry) { return entry.state == SlotState::ready && entry.clients == 0; }

    /// Of the owner's instances for which `counts` holds, the one whose `time` is earliest.
    template <class Counts>
    std::uint32_t earliest_of(std::uint32_t owner, Time InstanceEntry::*time, const Counts& counts) const
    {
        std::uint32_t earliest = none;
        for (std::uint32_t at = table_.owner(owner).live.first(); at != none; at = table_[at].owner_links.next)
            if (counts(table_[at]) && (earliest == none || table_[at].*time <= table_[earliest].*time))
                earliest = at;
        return earliest;
    }

    InstanceTable& table_;
    InstanceList<&InstanceEntry::age_links> by_age_;    ///< Start or run and have an owner, oldest claim first.
    InstanceList<&InstanceEntry::stock_links> unused_;  ///< Ready without a client, longest first.
    bool by_silence_;
    SilenceOrder silence_;  ///< Those with clients.
};

}  // namespace instancer
