// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include <instancer/pool/instance_table.hpp>

namespace instancer {

/// Instances that have no owner yet, and when the next one may start after a failure.
///
/// Time: every function takes constant time.
/// Threads: one at a time.
class WarmStock {
public:
    /// A moment.
    using Time = std::chrono::steady_clock::time_point;

    /// Lifetime: `table` must outlive the stock.
    explicit WarmStock(InstanceTable& table) : spares_(table), starts_(table) {}

    /// The instance at `index` is to start.
    void add(std::uint32_t index) { starts_.push_back(index); }

    /// The instance at `index` is ready.
    void ready(std::uint32_t index)
    {
        starts_.erase(index);
        spares_.push_back(index);
    }

    /// The instance at `index`, which is ready or not, belongs to the stock no more.
    void remove(std::uint32_t index, bool ready) { (ready ? spares_ : starts_).erase(index); }

    /// The next one to be given away: of those that are ready, or else of all, the one that began first.
    std::uint32_t first() const noexcept { return spares_.size() != 0 ? spares_.first() : starts_.first(); }

    /// One that is ready; none when there is none.
    std::uint32_t spare() const noexcept { return spares_.first(); }

    /// Instances that are ready.
    std::size_t spares() const noexcept { return spares_.size(); }
    /// Instances that are ready or start.
    std::size_t size() const noexcept { return spares_.size() + starts_.size(); }

    /// One failed: the next try waits, longer each time. Those that fail meanwhile belong to this try.
    void failed(Time now)
    {
        if (!may_start(now))
            return;
        delay_ = std::clamp<Time::duration>(delay_ * 2, std::chrono::seconds(1), std::chrono::seconds(30));
        again_ = now + delay_;
    }

    /// One that went well for a while fails: that is not the same trouble as before.
    void forget_failures() noexcept { delay_ = Time::duration::zero(); }

    /// Whether no failure forbids another start now.
    bool may_start(Time now) const noexcept { return !again_ || now >= *again_; }

    /// Failed starts are tried again.
    void try_again() noexcept { again_.reset(); }

    /// When the next start may be; empty when there was no failure since `try_again`.
    std::optional<Time> next_try() const noexcept { return again_; }

private:
    InstanceList<&InstanceEntry::stock_links> spares_;  ///< In the order in which they became ready.
    InstanceList<&InstanceEntry::stock_links> starts_;  ///< In the order in which they began.
    Time::duration delay_{0};
    std::optional<Time> again_;
};

}  // namespace instancer
