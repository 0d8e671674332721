// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include <instancer/pool/owner_budget.hpp>

namespace instancer {

/// A cap on instances that several pools share. Room that comes free goes to the pools that wait for it, in turn; to
/// those with clients first, and only then to those that want warm instances.
///
/// Threads: the control executor of the pools.
class InstanceBudget {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    /// The use of room that a pool asks for.
    enum class Purpose {
        client,  ///< For an instance that a client waits for.
        warm,    ///< For an instance that nobody waits for yet.
    };

    /// A pool, as the budget sees it.
    class Member {
    public:
        /// It is this pool's turn, or an instance of it is to be stopped: it must act soon, but not within this call.
        virtual void wake() = 0;
        /// Since when the instance has been without a client that has been so for longest.
        virtual std::optional<Time> unused_since() const = 0;
        /// Stops that instance.
        virtual void stop_unused() = 0;
        /// Stops a warm instance that is ready; false when there is none.
        virtual bool stop_spare() = 0;
        /// Instances that have no client, and could be stopped for others.
        virtual std::size_t unused() const = 0;
        /// Instances that are being stopped.
        virtual std::size_t stopping() const = 0;
        /// Instances that clients wait for.
        virtual std::size_t waiting() const = 0;
        /// Of these, as many as the pool may still have.
        virtual std::size_t admissible() const = 0;

    protected:
        ~Member() = default;
    };

    /// `limit` instances in all, and `per_owner` of each owner that clients name (`AcquireRequest::common_owner`); 0
    /// means no limit.
    explicit InstanceBudget(std::size_t limit, std::size_t per_owner = 0) : limit_(limit), owners_(per_owner) {}

    /// The limits of each owner.
    OwnerBudget& owners() noexcept { return owners_; }

    /// `member` takes part.
    ///
    /// Lifetime: until `remove`.
    void add(Member& member) { members_.push_back(&member); }

    /// `member` takes part no more, and waits for nothing.
    void remove(Member& member)
    {
        std::erase(members_, &member);
        leave(member, Purpose::client);
        leave(member, Purpose::warm);
    }

    /// Whether nothing can be taken now.
    bool is_full() const noexcept { return limit_ != 0 && used_ >= limit_; }

    /// Takes room for one instance. When there is none, or it is the turn of others, it is false, and `member` waits
    /// until it takes some or leaves.
    bool try_take(Member& member, Purpose purpose)
    {
        auto& line = line_of(purpose);
        const bool others_first =
            (!line.empty() && line.front() != &member) || (purpose == Purpose::warm && !clients_.empty());
        if (is_full() || others_first) {
            if (std::find(line.begin(), line.end(), &member) == line.end())
                line.push_back(&member);
            return false;
        }
        ++used_;
        leave(member, purpose);
        return true;
    }

    /// `member` waits for no room any more.
    void leave(Member& member, Purpose purpose)
    {
        if (std::erase(line_of(purpose), &member) != 0)
            wake_next();
    }

    /// `member` is next: it stops an instance of its own to make room.
    void go_first(Member& member)
    {
        std::erase(clients_, &member);
        clients_.push_front(&member);
    }

    /// Takes without regard to the limit: for what exists already.
    void take() noexcept { ++used_; }

    /// Returns one, for the pool whose turn it is.
    void give_back()
    {
        --used_;
        wake_next();
    }

    /// Whether the room that is free or coming free is enough for all that `member` waits for, in its turn, and for
    /// `newcomers` besides.
    bool comes_to(const Member& member, std::size_t newcomers = 0) const
    {
        const std::size_t own = member.waiting() + newcomers;
        std::size_t before = 0;
        for (const Member* other : clients_)
            before += other == &member ? 0 : std::min(other->admissible(), own);
        const std::size_t free = limit_ > used_ ? limit_ - used_ : 0;
        return free + coming() >= before + own;
    }

    /// Has the instance stopped that has been without a client for longest, whosever it is, or else a warm one; false
    /// when all are in use.
    bool reclaim()
    {
        Member* holder = nullptr;
        for (Member* member : members_)
            if (member->unused_since() && (!holder || *member->unused_since() < *holder->unused_since()))
                holder = member;
        if (holder) {
            holder->stop_unused();
            return true;
        }
        return std::any_of(members_.begin(), members_.end(), [](Member* member) { return member->stop_spare(); });
    }

    /// Whether clients wait for more room than is coming free.
    bool is_short() const
    {
        std::size_t wanted = 0;
        for (const Member* member : clients_)
            wanted += member->admissible();
        return is_full() && wanted > coming();
    }

    /// Instances that there is room taken for.
    std::size_t used() const noexcept { return used_; }

    /// Instances that have no client.
    std::size_t unused() const
    {
        std::size_t count = 0;
        for (const Member* member : members_)
            count += member->unused();
        return count;
    }

private:
    using Line = std::deque<Member*>;

    Line& line_of(Purpose purpose) noexcept { return purpose == Purpose::client ? clients_ : warm_; }

    /// Instances that are being stopped.
    std::size_t coming() const
    {
        std::size_t count = 0;
        for (const Member* member : members_)
            count += member->stopping();
        return count;
    }

    void wake_next()
    {
        if (is_full())
            return;
        if (!clients_.empty())
            clients_.front()->wake();
        else if (!warm_.empty())
            warm_.front()->wake();
    }

    std::size_t limit_;
    OwnerBudget owners_;
    std::size_t used_ = 0;
    std::vector<Member*> members_;
    Line clients_;  ///< Pools whose clients wait, in turn.
    Line warm_;     ///< Pools that lack warm instances, in turn.
};

}  // namespace instancer
