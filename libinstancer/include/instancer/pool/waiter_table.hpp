// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include <instancer/pool/instance_table.hpp>

namespace instancer {

/// Names a client that waits.
using WaiterId = std::uint64_t;

/// Clients that have no answer yet, and the entry that each of them waits for.
///
/// Time: every function takes constant time, on average over many calls, if not said otherwise.
/// Threads: one at a time.
class WaiterTable {
public:
    static constexpr std::uint32_t none = detail::no_index;  ///< No client.

    /// Lifetime: `table` must outlive this one.
    explicit WaiterTable(InstanceTable& table) : table_(table) {}

    /// `id` waits for the entry at `entry`. Where it is from now on.
    std::uint32_t add(WaiterId id, std::uint32_t entry)
    {
        const bool fresh = free_ == none;
        const auto index = fresh ? static_cast<std::uint32_t>(waiters_.size()) : free_;
        if (fresh)
            waiters_.emplace_back();
        else
            free_ = waiters_[index].entry;
        waiters_[index].id = id;
        waiters_[index].entry = entry;
        table_[entry].waiters.push_back(index, detail::links_in<&Waiter::links>(waiters_));
        by_id_.emplace(id, index);
        return index;
    }

    /// Where the client is; none when it waits for nothing.
    std::uint32_t find(WaiterId id) const
    {
        const auto found = by_id_.find(id);
        return found == by_id_.end() ? none : found->second;
    }

    /// The client at `index` has its answer.
    void remove(std::uint32_t index)
    {
        by_id_.erase(waiters_[index].id);
        table_[waiters_[index].entry].waiters.erase(index, detail::links_in<&Waiter::links>(waiters_));
        waiters_[index].entry = std::exchange(free_, index);
    }

    /// Who waits for the entry at `from` waits for the one at `to`, which nobody waits for, instead.
    ///
    /// Time: by their number.
    void move(std::uint32_t from, std::uint32_t to)
    {
        table_[to].waiters = std::exchange(table_[from].waiters, detail::IndexList());
        for (std::uint32_t at = table_[to].waiters.first(); at != none; at = next(at))
            waiters_[at].entry = to;
    }

    /// The client at `index`.
    WaiterId id(std::uint32_t index) const { return waiters_[index].id; }
    /// The entry that the client at `index` waits for.
    std::uint32_t entry(std::uint32_t index) const { return waiters_[index].entry; }
    /// Who came for the same entry after the client at `index`; none when it is the last one.
    std::uint32_t next(std::uint32_t index) const { return waiters_[index].links.next; }

    /// Whether nobody waits.
    bool empty() const noexcept { return by_id_.empty(); }

private:
    struct Waiter {
        WaiterId id = 0;
        std::uint32_t entry = none;  ///< Of a record that is free, the next free one.
        detail::ListLinks links;
    };

    InstanceTable& table_;
    std::vector<Waiter> waiters_;
    std::uint32_t free_ = none;
    std::unordered_map<WaiterId, std::uint32_t> by_id_;
};

}  // namespace instancer
