// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<void> SocketBridge::start(Link& link, BridgeObserver& observer)
{
    auto poller = Poller::of(link.client().get_executor());
    if (!poller)
        return fail(poller.error());
    auto path = std::make_unique<SocketBridge>(link, observer, **poller);
    if (auto watched = path->watch(); !watched)
        return watched;
    link.take(std::move(path));
    return {};
}

INSTANCER_DECL std::unique_ptr<SocketBridge::Parked> SocketBridge::Parked::unread(Stream& stream)
{
    if (stream.unread_size() == 0)
        return nullptr;
    std::vector<std::byte> bytes(stream.unread_size());
    static_cast<void>(stream.try_read(bytes));
    return std::make_unique<Parked>(bytes);
}

INSTANCER_DECL Result<void> SocketBridge::watch()
{
    link_.client().unwatch();
    link_.instance().unwatch();
    if (carries_urgent())
        for (const auto* side : {&client_, &instance_})
            keep_urgent_inline(side->fd);
    if (auto added = poller_.add(client_.fd, client_); !added)
        return added;
    auto added = poller_.add(instance_.fd, instance_);
    if (!added) {
        poller_.undo_add(client_.fd, client_);
        return added;
    }
    // Each socket is reported as writable before anything else can happen.
    client_.parked = Parked::unread(link_.client());
    instance_.parked = Parked::unread(link_.instance());
    return {};
}

INSTANCER_DECL void SocketBridge::on_events(Side& side, std::uint32_t events) noexcept
{
    busy_ = true;
    if (events & ~static_cast<std::uint32_t>(EPOLLOUT))
        side.readable = true;
    if (events & EPOLLIN)
        side.seen = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        side.writable = true;
    if (events & EPOLLRDHUP && !side.complete && &side == &client_ && side.is_tcp)
        probe_peer(side.fd);
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        side.to_the_end = side.complete = true;
    if (events & EPOLLPRI)
        side.maybe_urgent = side.to_the_end = true;
    if (events & EPOLLERR)
        side.failed = true;
    try {
        pump(client_, instance_);
        pump(instance_, client_);
        // What is not read any more, or not now, would not notice that its connection was reset.
        for (auto* one : {&client_, &instance_})
            if (one->failed && (!state_.reads(one->way) || one->has_parked() || one->urgent >= 0))
                report(*one, Event::lost);
    } catch (...) {
        state_.finish(BridgeEnd::cancelled);  // No memory.
    }
    busy_ = false;
    conclude();
    if (concluded_)
        observer_.bridge_ended(*state_.end());
}

INSTANCER_DECL void SocketBridge::pump(Side& from, Side& to)
{
    for (int reads = 0; state_.reads(from.way); ++reads) {
        if (!flush(from, to) || !from.readable)
            return;
        if (reads == reads_in_turn)
            return poller_.again(from);
        read(from, to);
    }
}

INSTANCER_DECL void SocketBridge::read(Side& from, Side& to)
{
    if (from.large_reads == bulk_reads && splice(from, to))
        return;
    const auto ahead = ahead_of(from);
    if (ahead == Ahead::nothing) {
        from.readable = false;
        return;
    }
    const auto count = ::recv(from.fd, bridge_buffer().data(), ahead == Ahead::urgent ? 1 : bridge_buffer().size(), 0);
    if (count < 0) {
        if (errno == EAGAIN)
            from.readable = false;
        else if (errno != EINTR)
            report(from, Event::failed);
        return;
    }
    if (count == 0)
        return end_of_stream(from);
    const auto data = bridge_buffer().first(static_cast<std::size_t>(count));
    if (ahead == Ahead::urgent) {
        from.urgent = std::to_integer<std::int16_t>(data.front());
        return;
    }
    if (data.size() < bulk_size)
        from.large_reads = 0;
    else if (from.large_reads < bulk_reads)
        ++from.large_reads;
    if (data.size() < bridge_buffer().size() && !from.to_the_end)
        from.readable = false;
    const auto written = write(to, data);
    if (written < 0)
        return report(from, Event::refused);
    if (const auto rest = data.subspan(static_cast<std::size_t>(written)); !rest.empty())
        from.parked = std::make_unique<Parked>(rest);
    passed(from, written);
}

INSTANCER_DECL bool SocketBridge::splice(Side& from, Side& to)
{
    // Urgent data stop a splice for ever, and what comes with the end must be read to the end.
    if (!from.is_tcp || !to.is_tcp || from.to_the_end)
        return drop_pipe(from);
    if (!from.pipe)
        from.pipe = PipePool::of_thread().take();
    if (!from.pipe)
        return drop_pipe(from);
    const auto count = ::splice(from.fd, nullptr, from.pipe->in.get(), nullptr, from.pipe->capacity,
                                SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (count > 0) {
        from.pipe->held = static_cast<std::size_t>(count);
        if (from.pipe->held < bulk_size)
            from.large_reads = 0;
        flush(from, to);
        return true;
    }
    if (count < 0 && errno == EAGAIN) {
        from.readable = false;
        PipePool::of_thread().give_back(std::move(from.pipe));
        return true;
    }
    if (count < 0 && errno != EINTR && errno != EINVAL) {
        report(from, Event::failed);
        return true;
    }
    return drop_pipe(from);
}

INSTANCER_DECL void SocketBridge::passed(const Side& from, ssize_t written) noexcept
{
    if (written == 0)
        return;
    if (&from == &client_)
        link_.count_up(static_cast<std::uint64_t>(written));
    else
        link_.count_down(static_cast<std::uint64_t>(written));
}

INSTANCER_DECL Ahead SocketBridge::ahead_of(Side& from) const noexcept
{
    const bool seen = std::exchange(from.seen, false) || from.complete;
    return carries_urgent() && (from.maybe_urgent || !seen) ? look_ahead(from.fd) : Ahead::plain;
}

INSTANCER_DECL bool SocketBridge::flush(Side& from, Side& to)
{
    if (from.pipe && from.pipe->held > 0) {
        const auto written = write_through(*from.pipe, to);
        if (written < 0) {
            report(from, Event::refused);
            return false;
        }
        from.pipe->held -= static_cast<std::size_t>(written);
        passed(from, written);
        if (from.pipe->held > 0)
            return false;
        if (from.large_reads == 0)
            drop_pipe(from);
    }
    if (from.parked) {
        const auto written = write(to, std::span(from.parked->bytes).subspan(from.parked->taken));
        if (written < 0) {
            report(from, Event::refused);
            return false;
        }
        from.parked->taken += static_cast<std::size_t>(written);
        passed(from, written);
        if (from.parked->taken < from.parked->bytes.size())
            return false;
        from.parked.reset();
    }
    if (from.urgent >= 0) {
        const auto byte = static_cast<std::byte>(from.urgent);
        const auto written = write(to, std::span(&byte, 1), MSG_OOB);
        if (written < 0)
            report(from, Event::refused);
        if (written <= 0)
            return false;
        from.urgent = -1;
    }
    return true;
}

INSTANCER_DECL void SocketBridge::end_of_stream(Side& from)
{
    if (link_.state().stopped())
        return state_.finish(BridgeEnd::cancelled);
    report(from, from.failed ? Event::failed : Event::ended);
}

INSTANCER_DECL void SocketBridge::report(Side& from, Event event)
{
    const auto step = state_.on(from.way, event);
    if (step.drop)
        drop_kept(from);
    if (step.pass_end)
        pass_end(from);
    if (state_.lost() && !state_.end())
        drain(lost_side());
}

INSTANCER_DECL void SocketBridge::drop_kept(Side& from) noexcept
{
    from.parked.reset();
    drop_pipe(from);
    from.urgent = -1;
}

INSTANCER_DECL void SocketBridge::pass_end(Side& from)
{
    auto& to = other_of(from);
    const bool is_told = (state_.closes_after(from.way) && !to.failed) || stream_of(to).shutdown_send();
    if (!is_told)
        return report(from, Event::refused);
    note_passed(link_, from.way);
    report(from, Event::passed);
}

INSTANCER_DECL void SocketBridge::drain(Side& lost)
{
    if (is_drained(lost))
        return state_.drained();
    if (reset_drain_)
        return;
    reset_drain_ = std::make_shared<ResetDrain>(link_.client().get_executor());
    watch_reset_drain();
    lost.failed = lost.readable = lost.to_the_end = true;
    poller_.again(lost);
}

INSTANCER_DECL void SocketBridge::watch_reset_drain()
{
    reset_drain_->timer.expires_after(StallDetector::pause);
    reset_drain_->timer.async_wait([this, weak = std::weak_ptr<ResetDrain>(reset_drain_)](const asio::error_code&) {
        const auto drain = weak.lock();
        if (!drain)
            return;
        const auto& lost = lost_side();
        const auto delivered = link_.bytes_up() + link_.bytes_down() - stream_of(other_of(lost)).unsent();
        if (!is_drained(lost) && !drain->stall_detector.ends_at(delivered))
            return watch_reset_drain();
        state_.drained();
        conclude_from_outside();
    });
}

INSTANCER_DECL void SocketBridge::conclude()
{
    if (!state_.end() || std::exchange(concluded_, true))
        return;
    reset_drain_.reset();
    leave();
    end_streams(link_, *state_.end());
}

INSTANCER_DECL void SocketBridge::leave() noexcept
{
    PipePool::of_thread().give_back(std::move(client_.pipe));
    PipePool::of_thread().give_back(std::move(instance_.pipe));
    poller_.remove(client_);
    poller_.remove(instance_);
}

}  // namespace instancer::detail
