// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>

#include <instancer/async/one_shot.hpp>

namespace instancer {

/// Threads for calls that block. They live as long as this object: a parent-death signal fires when the thread that
/// spawned a process ends.
class HelperThreads {
public:
    /// Starts `count` threads.
    explicit HelperThreads(std::size_t count) : pool_(count) {}
    ~HelperThreads() { join(); }

    /// Waits for the calls that are going on; no more are taken.
    void join() { pool_.join(); }

    /// Runs `call`, which does not throw, on a helper thread some time.
    template <class Call>
    void post(Call call)
    {
        asio::post(pool_, std::move(call));
    }

    /// Runs `call` on a helper thread and resumes on the awaiting coroutine's executor with what it returned or threw.
    ///
    /// Cancellation: none; a call that has begun is waited for.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&>> run(Call call)
    {
        using Value = std::invoke_result_t<Call&>;
        // A call that has begun must be finished, and its result not be lost.
        const bool throws = co_await asio::this_coro::throw_if_cancelled();
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto executor = co_await asio::this_coro::executor;
        const auto done = std::make_shared<OneShot<Outcome<Value>>>(executor);
        asio::post(pool_, [done, call = std::move(call)]() mutable { done->complete(outcome_of<Value>(call)); });
        auto outcome = co_await done->wait_uncancelled();
        co_await asio::this_coro::throw_if_cancelled(throws);
        if (outcome.thrown)
            std::rethrow_exception(outcome.thrown);
        co_return std::move(*outcome.value);
    }

private:
    template <class Value>
    struct Outcome {
        Outcome() = default;

        std::exception_ptr thrown;
        std::optional<Value> value;
    };

    template <class Value, class Call>
    static Outcome<Value> outcome_of(Call& call)
    {
        Outcome<Value> outcome;
        try {
            outcome.value.emplace(call());
        } catch (...) {
            outcome.thrown = std::current_exception();
        }
        return outcome;
    }

    asio::thread_pool pool_;
};

}  // namespace instancer
