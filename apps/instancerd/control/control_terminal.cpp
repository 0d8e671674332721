// SPDX-License-Identifier: MIT
#include "control/control_terminal.hpp"

#include <csignal>
#include <memory>
#include <utility>

#include <asio/steady_timer.hpp>
#include <fcntl.h>
#include <unistd.h>

#include <instancer/detail/socket/socket_stream.hpp>

namespace instancer::daemon {

namespace {

/// A terminal that somebody types at.
class TerminalStream final : public instancer::detail::SocketStream {
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

}  // namespace

Stream open_terminal(const asio::any_io_executor& executor)
{
    if (::isatty(STDIN_FILENO) != 1 || ::tcgetpgrp(STDIN_FILENO) != ::getpgrp())
        return {};
    // A description of our own, because that of standard input is the shell's as well and must go on to block.
    instancer::UniqueFd own(::open("/proc/self/fd/0", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!own)
        return {};
    // In the background reading and writing are to fail rather than to stop us.
    std::signal(SIGTTIN, SIG_IGN);
    std::signal(SIGTTOU, SIG_IGN);
    return Stream(std::make_unique<TerminalStream>(executor, std::move(own)));
}

}  // namespace instancer::daemon
