// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/dispatch.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>

namespace instancer {

/// A value that one coroutine awaits and any thread may deliver, once.
///
/// Lifetime: shared by both sides; what nobody takes is destroyed with it.
template <class T>
class OneShot : public std::enable_shared_from_this<OneShot<T>> {
public:
    explicit OneShot(const asio::any_io_executor& executor) : timer_(executor, asio::steady_timer::time_point::max()) {}

    /// Delivers from any thread. On the executor's own thread the value is there when this returns.
    void complete(T value)
    {
        asio::dispatch(timer_.get_executor(), [self = this->shared_from_this(), value = std::move(value)]() mutable {
            self->value_.emplace(std::move(value));
            self->timer_.cancel();
        });
    }

    bool ready() const noexcept { return value_.has_value(); }

    /// Empty when cancelled.
    asio::awaitable<std::optional<T>> wait()
    {
        const auto keep = this->shared_from_this();
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (!value_ && !is_cancelled(cancellation))
            co_await timer_.async_wait(as_result);
        co_return std::exchange(value_, std::nullopt);
    }

    /// Waits for the value whatever happens.
    asio::awaitable<T> wait_uncancelled()
    {
        const auto keep = this->shared_from_this();
        while (!value_)
            co_await timer_.async_wait(as_result);
        co_return std::move(*value_);
    }

private:
    asio::steady_timer timer_;
    std::optional<T> value_;
};

}  // namespace instancer
