// SPDX-License-Identifier: MIT
// Questions from threads that may wait to an executor that may be busy.
#pragma once

#include <chrono>
#include <exception>
#include <future>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>

namespace instancer::daemon {

/// What `future` holds by then.
template <class T>
std::optional<T> await(std::future<T>& future, std::chrono::milliseconds deadline)
{
    if (future.wait_for(deadline) != std::future_status::ready)
        return std::nullopt;
    return future.get();
}

/// What `call` returns on `executor`, if it does so in time. It may run later, when nobody waits for it any more.
template <class Call>
auto call_in_time(const asio::any_io_executor& executor, std::chrono::milliseconds deadline, Call call)
{
    using Value = std::invoke_result_t<Call&>;
    const auto task = std::make_shared<std::packaged_task<Value()>>(std::move(call));
    auto future = task->get_future();
    asio::post(executor, [task] { (*task)(); });
    return await(future, deadline);
}

/// The same for a coroutine.
template <class Value>
std::optional<Value> await_in_time(const asio::any_io_executor& executor, std::chrono::milliseconds deadline,
                                   asio::awaitable<Value> question)
{
    const auto answer = std::make_shared<std::promise<Value>>();
    auto future = answer->get_future();
    asio::co_spawn(executor, std::move(question), [answer](std::exception_ptr failure, Value value) {
        if (failure)
            answer->set_exception(failure);
        else
            answer->set_value(std::move(value));
    });
    return await(future, deadline);
}

}  // namespace instancer::daemon
