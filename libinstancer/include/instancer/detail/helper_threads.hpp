// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>

#include <instancer/detail/one_shot.hpp>

namespace instancer::detail {

/// Threads for calls that block. They live as long as this object: a parent-death signal fires when the thread that
/// spawned a process ends.
class HelperThreads {
public:
    explicit HelperThreads(std::size_t count) : pool_(count) {}
    ~HelperThreads() { join(); }

    /// Waits for the calls that are going on; no more are taken.
    void join() { pool_.join(); }

    /// Runs `call` on a helper thread and resumes on the awaiting coroutine's executor with what it returned.
    ///
    /// Cancellation: none; a call that has begun is waited for.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&>> run(Call call)
    {
        using Value = std::invoke_result_t<Call&>;
        const auto executor = co_await asio::this_coro::executor;
        const auto done = std::make_shared<OneShot<Value>>(executor);
        asio::post(pool_, [done, call = std::move(call)]() mutable { done->complete(call()); });
        std::optional<Value> value;
        while (!value)
            value = co_await done->wait();
        co_return std::move(*value);
    }

private:
    asio::thread_pool pool_;
};

}  // namespace instancer::detail
