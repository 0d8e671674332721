// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>

#include <instancer/detail/one_shot.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Long-lived threads for work that blocks. Work is a callable that returns a `Result`.
class HelperThreads {
public:
    explicit HelperThreads(std::size_t count) : pool_(count) {}

    /// Waits for what runs; from then on all work fails without being done.
    void close()
    {
        closed_ = true;
        pool_.join();
    }

    /// Begins `work`; whoever is on `executor` may await the outcome.
    template <class Work>
    auto begin(const asio::any_io_executor& executor, Work work)
    {
        using T = std::invoke_result_t<Work&>;
        auto outcome = std::make_shared<OneShot<T>>(executor);
        if (closed_)
            outcome->complete(fail(Errc::stopping));
        else
            asio::post(pool_, [this, outcome, work = std::move(work)]() mutable { outcome->complete(attempt(work)); });
        return outcome;
    }

    /// Does `work` on a thread and resumes the caller where it was.
    template <class Work>
    asio::awaitable<std::invoke_result_t<Work&>> run(Work work)
    {
        const auto executor = co_await asio::this_coro::executor;
        const auto outcome = begin(executor, std::move(work));
        auto value = co_await outcome->wait();
        if (!value)
            co_return fail(Errc::cancelled);
        co_return std::move(*value);
    }

private:
    template <class Work>
    std::invoke_result_t<Work&> attempt(Work& work) noexcept
    {
        if (closed_)
            return fail(Errc::stopping);
        try {
            return work();
        } catch (const std::exception& error) {
            return fail(Errc::backend_unavailable, error.what());
        }
    }

    std::atomic<bool> closed_ = false;
    asio::thread_pool pool_;
};

}  // namespace instancer::detail
