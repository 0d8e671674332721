// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

namespace instancer::detail {

/// Does something soon after it was asked for, however often that is, but not twice within a pause.
///
/// Threads: the executor.
class PacedCall {
public:
    using Clock = std::chrono::steady_clock;

    PacedCall(const asio::any_io_executor& executor, Clock::duration pause) : pause_(pause), timer_(executor) {}

    /// Calls `task` once the pause after the last call is over, unless that is to come already. `owner` owns this, and
    /// what `task` uses: once it has gone, nothing happens.
    template <class Owner, class Task>
    void request(std::weak_ptr<Owner> owner, Task task)
    {
        if (std::exchange(due_, true))
            return;
        timer_.expires_at(std::max(last_ + pause_, Clock::now()));
        timer_.async_wait([this, owner = std::move(owner), task = std::move(task)](const asio::error_code&) mutable {
            const auto kept = owner.lock();
            if (!kept)
                return;
            due_ = false;
            last_ = Clock::now();
            task();
        });
    }

private:
    const Clock::duration pause_;
    asio::steady_timer timer_;
    Clock::time_point last_{};
    bool due_ = false;  ///< The timer runs.
};

}  // namespace instancer::detail
