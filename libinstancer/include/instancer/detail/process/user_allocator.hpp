// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <deque>
#include <mutex>
#include <numeric>
#include <set>
#include <string>

#include <sys/types.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// The users that instances of this process have. A backend that takes the place of another one has the same range,
/// while instances of the other one go on.
///
/// Threads: any.
class UsersInUse {
public:
    static UsersInUse& of_process()
    {
        static UsersInUse users;
        return users;
    }

    /// False when it is in use already.
    bool add(uid_t uid)
    {
        const std::lock_guard lock(mutex_);
        return users_.insert(uid).second;
    }

    void remove(uid_t uid)
    {
        const std::lock_guard lock(mutex_);
        users_.erase(uid);
    }

private:
    std::mutex mutex_;
    std::set<uid_t> users_;
};

/// Hands out the users of a range, each to one holder at a time. One that was given back is last in the queue, so that
/// what it left in shared places is found as late as possible.
///
/// Threads: any.
class UserAllocator {
public:
    explicit UserAllocator(const UserRange& range) : range_(range), free_(range.size())
    {
        std::iota(free_.begin(), free_.end(), range.first());
    }

    /// Errors: Errc::full.
    Result<ProcessUser> take()
    {
        const std::lock_guard lock(mutex_);
        const auto found =
            std::find_if(free_.begin(), free_.end(), [](uid_t uid) { return UsersInUse::of_process().add(uid); });
        if (found == free_.end())
            return fail(Errc::full, "every user from " + std::to_string(range_.first()) + " to " +
                                        std::to_string(range_.last()) + " has an instance; widen the range");
        const auto uid = *found;
        free_.erase(found);
        return ProcessUser(uid, uid, {uid});
    }

    void give_back(uid_t uid)
    {
        const std::lock_guard lock(mutex_);
        free_.push_back(uid);
        UsersInUse::of_process().remove(uid);
    }

private:
    const UserRange range_;
    std::mutex mutex_;
    std::deque<uid_t> free_;
};

}  // namespace instancer::detail
