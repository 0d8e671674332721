// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <instancer/detail/pool/large_vector.hpp>
#include <instancer/pool/instance_table.hpp>

namespace instancer {

/// Names a client that asked for a session. Never used twice, and never 0.
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

    /// A new client, which waits for nothing yet. Where it is from now on.
    std::uint32_t add()
    {
        const bool fresh = free_ == none;
        const auto index = fresh ? static_cast<std::uint32_t>(waiters_.size()) : free_;
        if (fresh)
            waiters_.emplace_back();
        else
            free_ = std::exchange(waiters_[index].entry, none);
        ++count_;
        return index;
    }

    /// A client that gets its answer at once. Its name.
    WaiterId pass()
    {
        if (free_ == none)
            return remove(add());
        const WaiterId name = id(free_);
        ++waiters_[free_].generation;
        return name;
    }

    /// The client at `index`, which waits for nothing yet, waits for the entry at `entry`.
    void wait(std::uint32_t index, std::uint32_t entry)
    {
        waiters_[index].entry = entry;
        table_[entry].waiters.push_back(index, detail::links_in<&Waiter::links>(waiters_));
    }

    /// Where the client is; none when it has its answer.
    std::uint32_t find(WaiterId id) const
    {
        const auto index = static_cast<std::uint32_t>(id);
        return index < waiters_.size() && this->id(index) == id ? index : none;
    }

    /// The client at `index` has its answer. Its name.
    WaiterId remove(std::uint32_t index)
    {
        const WaiterId name = id(index);
        Waiter& waiter = waiters_[index];
        if (waiter.entry != none)
            table_[waiter.entry].waiters.erase(index, detail::links_in<&Waiter::links>(waiters_));
        ++waiter.generation;
        waiter.entry = std::exchange(free_, index);
        --count_;
        return name;
    }

    /// Moves the clients that wait for the entry at `from` to the one at `to`, for which nobody waits.
    ///
    /// Time: by their number.
    void move(std::uint32_t from, std::uint32_t to)
    {
        table_[to].waiters = std::exchange(table_[from].waiters, detail::IndexList());
        for (std::uint32_t at = table_[to].waiters.first(); at != none; at = next(at))
            waiters_[at].entry = to;
    }

    /// The name of the client at `index`.
    WaiterId id(std::uint32_t index) const { return std::uint64_t{waiters_[index].generation} << 32 | index; }
    /// The entry that the client at `index` waits for.
    std::uint32_t entry(std::uint32_t index) const { return waiters_[index].entry; }
    /// The client that came next for the same entry as the one at `index`; none when that is the last one.
    std::uint32_t next(std::uint32_t index) const { return waiters_[index].links.next; }

    /// Whether nobody waits.
    bool empty() const noexcept { return count_ == 0; }

private:
    struct Waiter {
        std::uint32_t generation = 1;  ///< How often the place was used before, and one.
        std::uint32_t entry = none;    ///< Of a record that is free, the next free one.
        detail::ListLinks links;
    };

    InstanceTable& table_;
    detail::LargeVector<Waiter> waiters_;
    std::uint32_t free_ = none;
    std::size_t count_ = 0;
};

}  // namespace instancer
