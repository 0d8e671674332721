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
            report(Way::up, Event::lost);
    } catch (...) {
        state_.finish(BridgeEnd::cancelled);  // No memory.
    }
    busy_ = false;
    conclude();
    if (concluded_)
        observer_.bridge_ended(*state_.end());
}

INSTANCER_DECL std::size_t LendingBridge::offer(std::span<const std::byte> data) noexcept
{
    if (!state_.reads(Way::down))
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
    while (!state_.end() && !failed_) {
        const auto data = lender_.peek();
        if (!data && data.error() == std::error_code(asio::error::would_block))
            return;
        // An instance can also be reset after it has ended its output in order.
        if (!data)
            return report(Way::down, state_.reads(Way::down) ? Event::failed : Event::lost);
        if (!state_.reads(Way::down))
            return;
        if (data->empty())
            return end_of_stream(Way::down);
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

INSTANCER_DECL bool LendingBridge::collect_unread()
{
    auto& client = link_.client();
    while (client.unread_size() > 0) {
        const auto data = bridge_buffer().first(client.try_read(bridge_buffer()).value());
        const auto written = link_.instance().try_write(data);
        // An instance that was cut off takes nothing more: the other direction says so.
        if (!written && written.error() != std::error_code(asio::error::would_block))
            continue;
        const auto count = written.value_or(0);
        link_.count_up(count);
        client.unread(data.subspan(count));
        if (count == 0)
            return false;
    }
    return true;
}

INSTANCER_DECL void LendingBridge::collect()
{
    if (!state_.reads(Way::up) || !collect_unread())
        return;
    for (int reads = 0; state_.reads(Way::up) && readable_; ++reads) {
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
            if (errno != EAGAIN || failed_)
                return report(Way::up, Event::failed);
        } else if (count == 0) {
            return end_of_stream(Way::up);
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

INSTANCER_DECL void LendingBridge::end_of_stream(Way way)
{
    if (link_.state().stopped())
        return state_.finish(BridgeEnd::cancelled);
    report(way, way == Way::up && failed_ ? Event::failed : Event::ended);
}

INSTANCER_DECL void LendingBridge::report(Way way, Event event)
{
    const auto step = state_.on(way, event);
    if (step.pass_end)
        pass_end(way);
    if (step.drain && state_.lost() == Way::up)
        lender_.discard_input();
    if (state_.lost() && !state_.end())
        drain();
}

INSTANCER_DECL void LendingBridge::pass_end(Way way)
{
    auto& target = way == Way::up ? link_.instance() : link_.client();
    // A lender must hear of the client's end: a close without it means that the client is gone.
    const bool needs_end = way == Way::up || !state_.closes_after(way);
    if (needs_end && !target.shutdown_send())
        return report(way, Event::refused);
    note_passed(link_, way);
    report(way, Event::passed);
    // A member that has ended its sending may have been ended by that.
    if (way == Way::up)
        deliver();
}

INSTANCER_DECL void LendingBridge::drain()
{
    if (!state_.reads(Way::up))
        return state_.drained();
    failed_ = readable_ = to_the_end_ = true;
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
        const auto drain = weak.lock();
        if (!drain)
            return;
        if (!drain->stall_detector.ends_at(link_.bytes_up()))
            return watch_reset_drain();
        state_.drained();
        conclude_from_outside();
    });
}

INSTANCER_DECL void LendingBridge::conclude()
{
    if (!state_.end() || std::exchange(concluded_, true))
        return;
    reset_drain_.reset();
    leave();
    end_streams(link_, *state_.end());
}

}  // namespace instancer::detail
