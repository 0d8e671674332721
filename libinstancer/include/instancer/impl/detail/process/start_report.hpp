// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/detail/process/start_report.hpp>

namespace instancer::detail {

INSTANCER_DECL asio::awaitable<Result<void>> StartReport::wait(UniqueFd pipe, std::string program,
                                                               std::chrono::milliseconds patience)
{
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto executor = co_await asio::this_coro::executor;
    const auto done = std::make_shared<OneShot<Result<void>>>(executor);
    auto reading = read(std::move(pipe), std::move(program), patience, done);
    asio::co_spawn(executor, std::move(reading), asio::detached);
    auto result = co_await done->wait_uncancelled();
    co_await asio::this_coro::throw_if_cancelled(throws);
    co_return result;
}

INSTANCER_DECL asio::awaitable<void> StartReport::read(UniqueFd pipe, std::string program,
                                                       std::chrono::milliseconds patience,
                                                       std::shared_ptr<OneShot<Result<void>>> done)
{
    using namespace asio::experimental::awaitable_operators;
    const auto executor = co_await asio::this_coro::executor;
    asio::posix::stream_descriptor descriptor(executor);
    asio::error_code error;
    descriptor.assign(pipe.get(), error);
    if (error) {
        done->complete(fail(error, "watching the start of " + program));
        co_return;
    }
    pipe.release();
    asio::steady_timer deadline(executor, patience);
    co_await (descriptor.async_wait(asio::posix::stream_descriptor::wait_read, as_result) ||
              deadline.async_wait(as_result));
    char text[256];
    const auto size = ::read(descriptor.native_handle(), text, sizeof text);
    if (size < 0)
        done->complete(fail(Errc::start_timeout, program + ": " + std::string(not_executed)));
    else
        done->complete(result_of({text, static_cast<std::size_t>(size)}, program));
}

INSTANCER_DECL Result<void> StartReport::result_of(std::string_view text, const std::string& program)
{
    if (text.empty())
        return {};
    text = text.substr(0, text.find('\n'));
    int number = 0;
    const auto* end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto step = text.starts_with(' ') ? text.substr(1) : text;
    return fail(start_error(number, program, step));
}

}  // namespace instancer::detail
