// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <instancer/detail/pool/index_list.hpp>
#include <instancer/detail/pool/large_vector.hpp>

namespace instancer {

/// Clients that wait for room: their owners take turns, and the clients of one owner keep the order in which they came.
///
/// Clients and owners are named by small numbers, as of a table. `none` stands for nobody.
///
/// Time: every function takes constant time, on average over many calls.
/// Threads: one at a time.
class WaitQueue {
public:
    /// A moment on the clock of the pool.
    using Time = std::chrono::steady_clock::time_point;

    static constexpr std::uint32_t none = detail::no_index;  ///< No client, no owner.

    /// `client` waits, until `deadline`, or as long as the client that came before it if that is longer. An owner's
    /// first client goes behind all other owners.
    void push(std::uint32_t client, std::uint32_t owner, Time deadline);

    /// Takes out `client`, which waits.
    void erase(std::uint32_t client);

    /// No client that waits now has a later deadline than `latest`.
    ///
    /// Time: linear in the clients whose deadline changes.
    void cap_deadlines(Time latest);

    /// The client whose turn it is: the first one of the first owner.
    std::uint32_t next() const { return turns_.first() == none ? none : owners_[turns_.first()].clients.first(); }

    /// The first client of `owner`, which has any here.
    std::uint32_t first_of(std::uint32_t owner) const { return owners_[owner].clients.first(); }

    /// `owner` has had its turn: the others are next.
    void end_turn(std::uint32_t owner);

    /// `owner` cannot be helped now: it is passed over until `resume`.
    void hold(std::uint32_t owner)
    {
        owners_[owner].held = true;
        turns_.erase(owner, detail::links_in<&Owner::turn>(owners_));
    }

    /// The owner that was passed over is next.
    void resume(std::uint32_t owner);

    /// The last client of the owner that has most of them here.
    std::uint32_t last_of_largest() const
    {
        return largest_ == 0 ? none : owners_[by_size_[largest_].last()].clients.last();
    }

    /// How many clients the owner has here that has most of them.
    std::size_t largest() const noexcept { return largest_; }

    /// Clients of `owner` that wait.
    std::size_t waiting_of(std::uint32_t owner) const
    {
        return owner < owners_.size() ? owners_[owner].clients.size() : 0;
    }

    /// The clients in the order of their turns, as if nobody came or left; those of owners that are passed over come
    /// last, as they came.
    ///
    /// Time: by their number.
    std::vector<std::uint32_t> order() const;

    /// Clients that wait.
    std::size_t size() const noexcept { return by_deadline_.size(); }

    /// The client whose deadline is next.
    std::uint32_t first_due() const noexcept { return by_deadline_.first(); }

    /// When that is; empty when nobody waits, or nobody has a deadline.
    std::optional<Time> next_deadline() const
    {
        if (first_due() == none || clients_[first_due()].deadline == Time::max())
            return std::nullopt;
        return clients_[first_due()].deadline;
    }

private:
    struct Client {
        std::uint32_t owner = none;
        detail::ListLinks of_owner, of_deadlines;
        Time deadline{};
    };

    struct Owner {
        detail::IndexList clients;
        detail::ListLinks turn;  ///< In `turns_`; not when it has no client here, or is held.
        detail::ListLinks peer;  ///< Among the owners with as many clients.
        bool held = false;
    };

    template <class Record>
    static void grow(detail::LargeVector<Record>& records, std::uint32_t index)
    {
        if (index >= records.size())
            records.resize(std::max<std::size_t>(index + std::size_t{1}, records.size() * 2));
    }

    /// The owner has one client more or less than before.
    void recount(std::uint32_t owner, int change);

    detail::LargeVector<Client> clients_;
    detail::LargeVector<Owner> owners_;
    detail::IndexList turns_;
    detail::IndexList by_deadline_;
    detail::LargeVector<detail::IndexList> by_size_;  ///< The owners that have so many clients here.
    std::size_t largest_ = 0;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/pool/wait_queue.hpp>
#endif
