// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>

#include <instancer/detail/bridge/lending_bridge.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<void> LendingBridge::start(Link& link, BridgeObserver& observer)
{
    auto poller = Poller::of(link.client().get_executor());
    if (!poller)
        return fail(poller.error());
    auto path = std::make_unique<LendingBridge>(link, observer, **poller);
    link.client().unwatch();
    if (auto added = (*poller)->add(path->fd_, *path); !added)
        return added;
    path->lender_.set_borrower(path.get());
    link.take(std::move(path));
    return {};
}

INSTANCER_DECL LendingBridge::LendingBridge(Link& link, BridgeObserver& observer, Poller& poller)
    : link_(link),
      observer_(observer),
      poller_(poller),
      lender_(*link.instance().lender()),
      fd_(link.client().native_handle()),
      to_the_end_(!link.client().is_tcp())
{
}

INSTANCER_DECL void LendingBridge::on_events(std::uint32_t events) noexcept
{
    busy_ = true;
    if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
        readable_ = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        writable_ = true;
    if (events & EPOLLRDHUP && link_.client().is_tcp() && !std::exchange(probed_, true))
        probe_peer(fd_);
    // A short read means that nothing more is there, but not before an end or a mark.
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI))
        to_the_end_ = true;
    if (events & EPOLLERR)
        failed_ = true;
    try {
        deliver();
        collect();
        if (failed_)
            reset();
    } catch (...) {
        finish(BridgeEnd::cancelled);  // No memory.
    }
    busy_ = false;
    if (ended_)
        observer_.bridge_ended(end_);
}

INSTANCER_DECL std::size_t LendingBridge::offer(std::span<const std::byte> data) noexcept
{
    if (ended_ || down_over_)
        return 0;
    std::size_t sent = 0;
    // Only a write that meets a full socket has it tell when it is so no more.
    while (sent < data.size() && writable_)
        sent += send(data.subspan(sent));
    if (failed_)
        poller_.again(*this);
    if (sent > 0)
        link_.count_down(sent);
    return sent;
}

INSTANCER_DECL void LendingBridge::deliver()
{
    while (!ended_ && !down_over_ && !failed_) {
        const auto data = lender_.peek();
        if (!data && data.error() == std::error_code(asio::error::would_block))
            return;
        if (!data)
            return finish(BridgeEnd::instance_reset);
        if (data->empty())
            return end_of_instance();
        if (!writable_)
            return;
        const auto sent = send(*data);
        if (sent == 0)
            continue;
        lender_.consume(sent);
        link_.count_down(sent);
    }
}

INSTANCER_DECL std::size_t LendingBridge::send(std::span<const std::byte> data) noexcept
{
    const auto count = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (count >= 0)
        return static_cast<std::size_t>(count);
    writable_ = errno == EINTR;
    failed_ = failed_ || (errno != EINTR && errno != EAGAIN);
    return 0;
}

INSTANCER_DECL void LendingBridge::end_of_instance()
{
    if (link_.state().stopped())
        return finish(BridgeEnd::cancelled);
    down_over_ = true;
    link_.delivered();
    if (ended_)
        return;
    if (up_over_)
        return finish(BridgeEnd::completed);
    link_.state().half_close(LinkState::Clock::now());
    failed_ = !link_.client().shutdown_send();
}

INSTANCER_DECL bool LendingBridge::collect_unread()
{
    auto& client = link_.client();
    while (client.unread_size() > 0) {
        const auto data = bridge_buffer().first(client.try_read(bridge_buffer()).value());
        const auto written = link_.instance().try_write(data).value_or(0);
        link_.count_up(written);
        client.unread(data.subspan(written));
        if (written == 0)
            return false;
    }
    return true;
}

INSTANCER_DECL void LendingBridge::collect()
{
    if (ended_ || !collect_unread())
        return;
    for (int reads = 0; !ended_ && !up_over_ && readable_; ++reads) {
        const auto room = std::min(lender_.writable_bytes(), bridge_buffer().size());
        if (room == 0)
            return;
        if (reads == reads_in_turn)
            return poller_.again(*this);
        const auto count = ::recv(fd_, bridge_buffer().data(), room, 0);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            readable_ = false;
            all_read_ = errno != EAGAIN || failed_;
            failed_ = failed_ || all_read_;
        } else if (count == 0) {
            end_of_client();
        } else {
            const auto data = bridge_buffer().first(static_cast<std::size_t>(count));
            if (data.size() < room && !to_the_end_)
                readable_ = false;
            link_.count_up(data.size());
            // It has room. If it was cut off, the other direction says so.
            static_cast<void>(link_.instance().try_write(data));
        }
    }
}

INSTANCER_DECL void LendingBridge::end_of_client()
{
    if (link_.state().stopped())
        return finish(BridgeEnd::cancelled);
    up_over_ = all_read_ = true;
    if (failed_)
        return;
    static_cast<void>(link_.instance().shutdown_send());
    if (down_over_)
        return finish(BridgeEnd::completed);
    link_.state().half_close(LinkState::Clock::now());
    deliver();
}

INSTANCER_DECL void LendingBridge::reset()
{
    if (ended_)
        return;
    if (!std::exchange(down_over_, true))
        lender_.discard_input();
    readable_ = to_the_end_ = true;
    if (all_read_)
        return finish(BridgeEnd::client_reset);
    if (reset_drain_)
        return;
    if (lender_.writable_bytes() > 0)
        return poller_.again(*this);
    reset_drain_ = std::make_shared<ResetDrain>(link_.client().get_executor());
    watch_reset_drain();
}

INSTANCER_DECL void LendingBridge::watch_reset_drain()
{
    reset_drain_->timer.expires_after(StallDetector::pause);
    reset_drain_->timer.async_wait([this, weak = std::weak_ptr<ResetDrain>(reset_drain_)](const asio::error_code&) {
        const auto words = weak.lock();
        if (!words)
            return;
        if (!words->stall_detector.ends_at(link_.bytes_up()))
            return watch_reset_drain();
        end_from_outside(BridgeEnd::client_reset);
    });
}

INSTANCER_DECL void LendingBridge::finish(BridgeEnd end)
{
    if (std::exchange(ended_, true))
        return;
    end_ = end;
    reset_drain_.reset();
    leave();
    if (end == BridgeEnd::completed) {
        link_.client().close();
        link_.instance().close();
    } else {
        link_.client().abort();
        link_.instance().abort();
    }
}

}  // namespace instancer::detail
