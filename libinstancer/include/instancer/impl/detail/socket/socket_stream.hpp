// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <initializer_list>
#include <system_error>

#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <sys/ioctl.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL bool is_socket_in_family(int fd, std::initializer_list<int> families) noexcept
{
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        return false;
    for (const int family : families)
        if (address.ss_family == family)
            return true;
    return false;
}

INSTANCER_DECL void forbid_waiting_close(int fd) noexcept
{
    linger how{};
    socklen_t size = sizeof how;
    if (::getsockopt(fd, SOL_SOCKET, SO_LINGER, &how, &size) != 0 || how.l_onoff == 0 || how.l_linger == 0)
        return;
    how.l_onoff = 0;
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &how, sizeof how);
}

INSTANCER_DECL SocketStream::SocketStream(const asio::any_io_executor& executor, UniqueFd fd,
                                          std::shared_ptr<const std::string> peer)
    : SocketStream(executor, std::move(fd), Made::by_others, std::move(peer))
{
    ::fcntl(fd_.get(), F_SETFL, ::fcntl(fd_.get(), F_GETFL) | O_NONBLOCK);
    tcp_ = is_socket_in_family(fd_.get(), {AF_INET, AF_INET6});
    if (tcp_)
        set_tcp_options(fd_.get());
}

INSTANCER_DECL asio::awaitable<Result<void>> SocketStream::wait(Readiness what)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (!fd_ || is_cancelled(cancellation))
        co_return fail(std::error_code(asio::error::operation_aborted));
    if (what == Readiness::gone)
        co_return co_await wait_gone();
    if (auto watched = watch(); !watched)
        co_return watched;
    const auto kind = what == Readiness::readable ? Descriptor::wait_read : Descriptor::wait_write;
    const auto [error] = co_await watched_->async_wait(kind, as_result);
    if (error)
        co_return fail(error);
    co_return Result<void>();
}

INSTANCER_DECL void SocketStream::abort() noexcept
{
    if (!fd_)
        return;
    if (tcp_) {
        const linger reset{1, 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    close();
}

INSTANCER_DECL Result<void> SocketStream::watch()
{
    if (is_watched())
        return {};
    asio::error_code error;
    if (!watched_)
        watched_ = std::make_unique<Descriptor>(executor_.get());
    watched_->assign(fd_.get(), error);
    // Asio would do it at the first wait.
    if (!error)
        watched_->native_non_blocking(true, error);
    if (!error)
        return {};
    unwatch();
    return fail(error, "watching a connection");
}

INSTANCER_DECL std::size_t SocketStream::unsent() const noexcept
{
    int bytes = 0;
    if (!tcp_ || ::ioctl(fd_.get(), SIOCOUTQ, &bytes) != 0 || bytes <= 0)
        return 0;
    // The end of the stream counts as a byte until it is acknowledged.
    return static_cast<std::size_t>(bytes) - (finished_ ? 1 : 0);
}

INSTANCER_DECL asio::awaitable<Result<void>> SocketStream::wait_gone()
{
    const auto watch = std::make_shared<PeerWatch>(executor_.get(), fd_.get(), tcp_);
    if (auto begun = watch->begin(); !begun)
        co_return begun;
    peer_watch_ = watch;
    const bool gone = co_await watch->wait();
    watch->end();
    if (gone)
        co_return Result<void>();
    co_return fail(std::error_code(asio::error::operation_aborted));
}

}  // namespace instancer::detail
