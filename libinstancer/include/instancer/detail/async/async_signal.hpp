// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

namespace instancer::detail {

/// Wakes all coroutines that wait now; later ones wait for the next signal.
class AsyncSignal {
public:
    explicit AsyncSignal(const asio::any_io_executor& executor)
        : timer_(executor, asio::steady_timer::time_point::max())
    {
    }

    void notify()
    {
        ++count_;
        timer_.cancel();
    }

    void rebind(const asio::any_io_executor& executor)
    {
        timer_ = asio::steady_timer(executor, asio::steady_timer::time_point::max());
    }

    /// False when cancelled.
    asio::awaitable<bool> wait()
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (is_cancelled(cancellation))
            co_return false;
        const auto before = count_;
        co_await timer_.async_wait(as_result);
        co_return count_ != before;
    }

private:
    asio::steady_timer timer_;
    std::uint64_t count_ = 0;
};

}  // namespace instancer::detail
