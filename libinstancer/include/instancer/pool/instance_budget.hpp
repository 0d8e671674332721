// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <map>
#include <utility>

namespace instancer {

/// A cap on instances that several pools share.
///
/// Threads: the control executor of the pools.
class InstanceBudget {
public:
    /// `limit` of 0 means no limit.
    explicit InstanceBudget(std::size_t limit) : limit_(limit) {}

    /// Whether nothing can be taken now.
    bool is_full() const noexcept { return limit_ != 0 && used_ >= limit_; }

    /// Takes room for one instance; false when there is none.
    bool try_take() noexcept
    {
        if (is_full())
            return false;
        ++used_;
        return true;
    }

    /// Takes without regard to the limit: for what exists already.
    void take() noexcept { ++used_; }

    /// Returns one, and tells everybody else who may be waiting for it.
    void give_back()
    {
        --used_;
        for (const auto& [key, listener] : listeners_)
            listener();
    }

    /// Instances that there is room taken for.
    std::size_t used() const noexcept { return used_; }

    /// `listener` is called when something was given back; it must not call back into the budget at once.
    void subscribe(const void* key, std::function<void()> listener) { listeners_[key] = std::move(listener); }
    /// Calls the listener of `key` no more.
    void unsubscribe(const void* key) { listeners_.erase(key); }

private:
    std::size_t limit_;
    std::size_t used_ = 0;
    std::map<const void*, std::function<void()>> listeners_;
};

}  // namespace instancer
