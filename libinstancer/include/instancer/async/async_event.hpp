// SPDX-License-Identifier: MIT
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

namespace instancer {

/// A condition that coroutines on one executor wait for; once set it stays set.
class AsyncEvent {
public:
    explicit AsyncEvent(const asio::any_io_executor& executor) : timer_(executor, asio::steady_timer::time_point::max())
    {
    }

    void set()
    {
        set_ = true;
        timer_.cancel();
    }

    bool is_set() const noexcept { return set_; }

    /// Returns when set or cancelled.
    asio::awaitable<void> wait()
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (!set_ && !is_cancelled(cancellation))
            co_await timer_.async_wait(as_result);
    }

private:
    asio::steady_timer timer_;
    bool set_ = false;
};

}  // namespace instancer
