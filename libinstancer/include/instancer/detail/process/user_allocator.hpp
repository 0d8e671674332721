// SPDX-License-Identifier: MIT
#pragma once

#include <deque>
#include <mutex>
#include <numeric>
#include <string>

#include <sys/types.h>

#include <instancer/backend/process_options.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

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
        if (free_.empty())
            return fail(Errc::full, "every user from " + std::to_string(range_.first()) + " to " +
                                        std::to_string(range_.last()) + " has an instance; widen the range");
        const auto uid = free_.front();
        free_.pop_front();
        return ProcessUser(uid, uid, {uid});
    }

    void give_back(uid_t uid)
    {
        const std::lock_guard lock(mutex_);
        free_.push_back(uid);
    }

private:
    const UserRange range_;
    std::mutex mutex_;
    std::deque<uid_t> free_;
};

}  // namespace instancer::detail
