// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/one_shot.hpp>

namespace instancer::daemon {

/// Runs `call` on `executor`, and hands back what it returns.
template <class Call>
asio::awaitable<std::invoke_result_t<Call&>> call_on(asio::any_io_executor executor, Call call)
{
    const auto here = co_await asio::this_coro::executor;
    const auto done = std::make_shared<OneShot<std::invoke_result_t<Call&>>>(here);
    asio::post(executor, [done, call = std::move(call)]() mutable { done->complete(call()); });
    co_return co_await done->wait_uncancelled();
}

}  // namespace instancer::daemon
