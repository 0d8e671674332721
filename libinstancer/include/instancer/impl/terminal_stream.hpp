// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <system_error>
#include <utility>

#include <asio/awaitable.hpp>
#include <asio/error.hpp>
#include <asio/steady_timer.hpp>
#include <unistd.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/terminal_stream.hpp>

namespace instancer {

namespace detail {

class TerminalStream final : public SocketStream {
public:
    using SocketStream::SocketStream;

    Result<std::size_t> try_read(std::span<std::byte> buffer) override
    {
        auto count = counted([&] { return ::read(fd(), buffer.data(), buffer.size()); });
        in_background_ = !count && count.error() == system_error(EIO) && ::tcgetpgrp(fd()) > 0;
        if (in_background_)
            return fail(std::error_code(asio::error::would_block));
        return count;
    }

    Result<std::size_t> try_write(std::span<const std::byte> data) override
    {
        return counted([&] { return ::write(fd(), data.data(), data.size()); });
    }

    asio::awaitable<Result<void>> wait(Readiness what) override
    {
        // What is typed is for somebody else then, and always there.
        if (in_background_) {
            asio::steady_timer pause(get_executor(), std::chrono::milliseconds(500));
            co_await pause.async_wait(as_result);
        }
        co_return co_await SocketStream::wait(what);
    }

    Result<void> shutdown_send() override { return {}; }
    int native_handle() const noexcept override { return -1; }

private:
    int fd() const noexcept { return SocketStream::native_handle(); }

    bool in_background_ = false;
};

}  // namespace detail

INSTANCER_DECL Stream make_terminal_stream(const asio::any_io_executor& executor, UniqueFd terminal)
{
    return Stream(std::make_unique<detail::TerminalStream>(executor, std::move(terminal)));
}

}  // namespace instancer
