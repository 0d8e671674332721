// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <sys/epoll.h>

#include <instancer/detail/async/async_signal.hpp>
#include <instancer/detail/socket/keepalive.hpp>
#include <instancer/detail/socket/poller.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Waits until the peer of a socket that nobody reads is gone. A TCP peer is probed from its end of sending on.
///
/// Threads: the executor.
class PeerWatch final : private Poller::Entry {
public:
    PeerWatch(asio::any_io_executor executor, int fd, bool is_tcp)
        : executor_(std::move(executor)), signal_(executor_), fd_(fd), is_tcp_(is_tcp)
    {
    }
    ~PeerWatch() override
    {
        if (poller_)
            poller_->remove(*this);
    }

    /// Errors: what the system reports, as when descriptors lack.
    Result<void> begin()
    {
        auto poller = Poller::of(executor_);
        if (!poller)
            return fail(std::move(poller.error()));
        if (auto added = (*poller)->add(fd_, *this); !added)
            return added;
        poller_ = *poller;
        return {};
    }

    /// The descriptor is about to be closed here, while another process goes on with the connection. From now on only a
    /// reset counts: whether an end in order is one is for that process to say.
    void give_away() noexcept { fd_ = -1; }

    /// Before the descriptor is closed, or watched by somebody else. A wait completes as if it were cancelled.
    void end() noexcept
    {
        if (!poller_)
            return;
        if (fd_ >= 0)
            poller_->undo_add(fd_, *this);
        else
            poller_->remove(*this);
        poller_ = nullptr;
        signal_.notify();
    }

    /// False when cancelled.
    asio::awaitable<bool> wait()
    {
        if (!gone_)
            co_await signal_.wait();
        co_return gone_;
    }

private:
    void on_events(std::uint32_t events) noexcept override
    {
        if (fd_ >= 0 && is_tcp_ && (events & EPOLLRDHUP))
            probe_peer(fd_);
        const auto left = events & (EPOLLERR | EPOLLHUP);
        if (fd_ >= 0 ? left == 0 : left != (EPOLLERR | EPOLLHUP))
            return;
        gone_ = true;
        signal_.notify();
    }

    asio::any_io_executor executor_;
    AsyncSignal signal_;
    Poller* poller_ = nullptr;
    int fd_;
    bool is_tcp_;
    bool gone_ = false;
};

}  // namespace instancer::detail
