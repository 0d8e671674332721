// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

#include <instancer/identity.hpp>
#include <instancer/pool/instance_table.hpp>

namespace instancer {

/// A pool that knows some of the owners of an OwnerBudget, by numbers of its own.
class OwnerBudgetMember {
public:
    /// `owner` may have room now: its clients are to be looked at soon, but not within this call.
    virtual void owner_may_go_on(std::uint32_t owner) = 0;

    /// Stops the instance of `owner` that has been without a client for longest; false when all are in use.
    virtual bool stop_unused_of(std::uint32_t owner) = 0;

    /// Whether there is such an instance.
    virtual bool has_unused_of(std::uint32_t owner) const = 0;

    /// What `owner` has in all pools together has changed.
    virtual void recount_owner(std::uint32_t owner) = 0;

protected:
    ~OwnerBudgetMember() = default;
};

/// The account of one owner in all pools of an OwnerBudget together.
class OwnerAccount {
public:
    /// An owner that may have `limit` instances.
    OwnerAccount(const Digest& owner, std::size_t limit) : owner_(owner), limit_(limit) {}

    /// Whether the owner has as many instances as one may have.
    bool is_full() const noexcept { return rooms_ >= limit_; }
    /// Whether the instances that are being stopped make enough room for all that wait, and for `newcomers` besides.
    bool comes_to_all(std::size_t newcomers = 0) const noexcept { return stopping_ >= waiting_ + newcomers; }
    /// Instances that hold room.
    std::size_t rooms() const noexcept { return rooms_; }
    /// Instances that the owner may still have once those are gone that are being stopped.
    std::size_t room() const noexcept { return limit_ - std::min(limit_, rooms_ - stopping_); }

    /// Counts what one pool has of the owner, and has all pools count what that leaves.
    void add(const InstanceOwner& part)
    {
        rooms_ += part.rooms;
        stopping_ += part.stopping;
        waiting_ += part.waiting;
        for (const auto& [member, owner] : shares_)
            member->recount_owner(owner);
    }

    /// Counts that no more.
    void subtract(const InstanceOwner& part) noexcept
    {
        rooms_ -= part.rooms;
        stopping_ -= part.stopping;
        waiting_ -= part.waiting;
    }

    /// Has an instance of the owner stopped that nobody uses, in whichever pool; false when all are in use.
    bool reclaim()
    {
        return std::any_of(shares_.begin(), shares_.end(),
                           [](const Share& share) { return share.first->stop_unused_of(share.second); });
    }

    /// Whether there is an instance of the owner that nobody uses, in whichever pool.
    bool has_unused() const
    {
        return std::any_of(shares_.begin(), shares_.end(),
                           [](const Share& share) { return share.first->has_unused_of(share.second); });
    }

    /// Room of the owner has come free.
    void wake()
    {
        for (const auto& [member, owner] : shares_)
            member->owner_may_go_on(owner);
    }

private:
    friend class OwnerBudget;
    using Share = std::pair<OwnerBudgetMember*, std::uint32_t>;

    const Digest owner_;
    const std::size_t limit_;
    std::size_t rooms_ = 0;
    std::size_t stopping_ = 0;
    std::size_t waiting_ = 0;
    std::vector<Share> shares_;  ///< The pools that know the owner.
};

/// A cap on the instances of each owner in several pools together.
///
/// Threads: the control executor of the pools.
class OwnerBudget {
public:
    /// `limit` of 0 means no limit.
    explicit OwnerBudget(std::size_t limit) : limit_(limit) {}

    /// Whether there is a cap.
    bool limited() const noexcept { return limit_ != 0; }

    /// `member` knows `owner` by that number from now on.
    ///
    /// Lifetime: until `leave`, as the account.
    OwnerAccount& join(const Digest& owner, OwnerBudgetMember& member, std::uint32_t number)
    {
        auto& account = accounts_.try_emplace(owner, owner, limit_).first->second;
        account.shares_.emplace_back(&member, number);
        return account;
    }

    /// The account of `owner`; null when no pool knows the owner.
    const OwnerAccount* find(const Digest& owner) const
    {
        const auto found = accounts_.find(owner);
        return found == accounts_.end() ? nullptr : &found->second;
    }

    /// `member`, which has nothing of the owner any more, does not know it either.
    void leave(OwnerAccount& account, const OwnerBudgetMember& member)
    {
        std::erase_if(account.shares_, [&member](const auto& share) { return share.first == &member; });
        if (account.shares_.empty())
            accounts_.erase(Digest(account.owner_));
    }

private:
    struct Hash {
        std::size_t operator()(const Digest& digest) const noexcept { return digest.hash(); }
    };

    const std::size_t limit_;
    std::unordered_map<Digest, OwnerAccount, Hash> accounts_;
};

}  // namespace instancer
