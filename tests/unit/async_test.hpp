// SPDX-License-Identifier: MIT
// Coroutines under test: one thread, started and cancelled by the test, and never a wait for a fixed time.
#pragma once

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <doctest/doctest.h>

#include <instancer/async/as_result.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace async_test {

using namespace std::chrono_literals;

/// A coroutine that was started.
template <class T>
class Task {
public:
    bool done() const { return state_->done; }

    /// The result. The coroutine must be done and must not have thrown.
    T& value()
    {
        REQUIRE(done());
        if (state_->error)
            std::rethrow_exception(state_->error);
        return *state_->value;
    }

    void cancel() { state_->cancel.emit(asio::cancellation_type::terminal); }

private:
    friend class Loop;

    struct State {
        std::optional<T> value;
        std::exception_ptr error;
        asio::cancellation_signal cancel;
        bool done = false;
    };

    std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// For coroutines without a result.
struct Nothing {};

class Loop {
public:
    Loop() : own_(std::make_unique<asio::io_context>()), io_(*own_) {}

    /// Runs a context of somebody else.
    explicit Loop(asio::io_context& context) : io_(context) {}

    asio::any_io_executor executor() { return io_.get_executor(); }

    template <class T>
    Task<T> start(asio::awaitable<T> coroutine)
    {
        Task<T> task;
        auto finish = [state = task.state_](std::exception_ptr error) {
            state->error = error;
            state->done = true;
        };
        auto root = rooted(std::move(coroutine), task.state_);
        asio::co_spawn(io_, std::move(root),
                       asio::bind_cancellation_slot(task.state_->cancel.slot(), std::move(finish)));
        return task;
    }

    Task<Nothing> start(asio::awaitable<void> coroutine) { return start(with_result(std::move(coroutine))); }

    /// Starts a coroutine that has been cancelled before its first step.
    template <class T>
    auto start_cancelled(asio::awaitable<T> coroutine)
    {
        auto task = start(once_cancelled(std::move(coroutine)));
        settle();
        task.cancel();
        settle();
        return task;
    }

    /// Runs until `condition` holds, at most 20 s.
    template <class Condition>
    bool until(const Condition& condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        io_.restart();
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline)
                return false;
            io_.run_one_for(10ms);
            io_.restart();
        }
        return true;
    }

    /// Runs a coroutine to its end.
    template <class T>
    T run(asio::awaitable<T> coroutine)
    {
        auto task = start(std::move(coroutine));
        REQUIRE(until([&] { return task.done(); }));
        return std::move(task.value());
    }

    void run(asio::awaitable<void> coroutine) { run(with_result(std::move(coroutine))); }

    /// Runs whatever can go on without time passing.
    void settle()
    {
        io_.restart();
        while (io_.poll() != 0)
            io_.restart();
    }

    /// Runs the next thing that can go on, if there is one.
    void step()
    {
        io_.restart();
        io_.poll_one();
    }

private:
    static asio::awaitable<Nothing> with_result(asio::awaitable<void> coroutine)
    {
        co_await std::move(coroutine);
        co_return Nothing();
    }

    template <class T, class State>
    static asio::awaitable<void> rooted(asio::awaitable<T> coroutine, std::shared_ptr<State> state)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        auto value = co_await std::move(coroutine);
        state->value.emplace(std::move(value));
    }

    template <class T>
    static asio::awaitable<T> once_cancelled(asio::awaitable<T> coroutine)
    {
        const auto executor = co_await asio::this_coro::executor;
        asio::steady_timer never(executor, asio::steady_timer::time_point::max());
        co_await never.async_wait(instancer::as_result);
        co_return co_await std::move(coroutine);
    }

    std::unique_ptr<asio::io_context> own_;
    asio::io_context& io_;
};

inline std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

/// Reads what is there; `eof`, `reset`, `would block` and the like when nothing is.
inline std::string try_read(instancer::Stream& stream, std::size_t size = 4096)
{
    std::string buffer(size, '\0');
    const auto count = stream.try_read(std::as_writable_bytes(std::span(buffer)));
    if (count)
        return *count == 0 ? "eof" : buffer.substr(0, *count);
    if (count.error() == std::error_code(asio::error::would_block))
        return "would block";
    return count.error() == std::error_code(asio::error::connection_reset) ? "reset" : "error";
}

inline bool aborted(const instancer::Result<void>& result)
{
    return !result && result.error() == std::error_code(asio::error::operation_aborted);
}

}  // namespace async_test
