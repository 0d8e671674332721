// SPDX-License-Identifier: MIT
#pragma once

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>
#include <netinet/tcp.h>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/tunnel_link.hpp>

namespace instancer::detail {

INSTANCER_DECL TunnelLink::TunnelLink(TunnelMultiplexer::Role role, const TunnelOptions& options, Stream connection,
                                      TunnelObserver& observer, bool displaced)
    : connection_(std::move(connection)),
      deadline_(connection_.get_executor()),
      room_(connection_.get_executor(), Clock::time_point::max()),
      multiplexer_(role, options, address_of(&::getsockname), address_of(&::getpeername), observer, Clock::now(),
                   displaced)
{
    notice_silence(connection_.native_handle());
}

INSTANCER_DECL asio::awaitable<Error> TunnelLink::run()
{
    const auto keep = shared_from_this();
    try {
        co_await receive_all();
    } catch (...) {
        end(Error(std::make_error_code(std::errc::not_enough_memory), exception_text()));
    }
    multiplexer_.lose();
    connection_.abort();
    deadline_.cancel();
    co_return *end_;
}

INSTANCER_DECL asio::awaitable<bool> TunnelLink::answers(Clock::duration limit)
{
    using namespace asio::experimental::awaitable_operators;
    const auto keep = shared_from_this();
    if (end_)
        co_return false;
    if (!sign_of_life_)
        sign_of_life_ = std::make_shared<AsyncEvent>(connection_.get_executor());
    const auto sign = sign_of_life_;
    multiplexer_.ask(Clock::now());
    progress();
    asio::steady_timer deadline(connection_.get_executor(), limit);
    co_await (sign->wait() || deadline.async_wait(as_result));
    if (end_)
        co_return false;
    co_return sign->is_set() || (!multiplexer_.negotiated() && connection_.unsent() == 0);
}

INSTANCER_DECL TunnelLink::Channel::Channel(std::shared_ptr<TunnelLink> link, TunnelSessionPtr session)
    : state_(std::make_shared<State>(std::move(link), std::move(session)))
{
    state_->session->on_change([state = state_.get()] { state->wake(); });
}

INSTANCER_DECL Result<std::size_t> TunnelLink::Channel::try_read(std::span<std::byte> buffer)
{
    if (state_->closed)
        return aborted();
    return state_->link->perform(
        [&](TunnelMultiplexer& all) { return all.read(state_->session, buffer, Clock::now()); });
}

INSTANCER_DECL Result<std::size_t> TunnelLink::Channel::try_write(std::span<const std::byte> data)
{
    if (state_->closed)
        return aborted();
    return state_->link->perform([&](TunnelMultiplexer& all) { return all.send(state_->session, data, Clock::now()); });
}

INSTANCER_DECL asio::awaitable<Result<void>> TunnelLink::Channel::wait(Readiness what)
{
    const auto state = state_;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    auto& timer = state->timer_of(what);
    while (!state->closed && !is_cancelled(cancellation)) {
        if (state->is_ready(what))
            co_return Result<void>();
        co_await timer.async_wait(as_result);
    }
    co_return aborted();
}

INSTANCER_DECL Result<void> TunnelLink::Channel::shutdown_send()
{
    if (state_->closed)
        return aborted();
    state_->link->perform([&](TunnelMultiplexer& all) { all.finish(state_->session, Clock::now()); });
    return {};
}

INSTANCER_DECL TunnelLink::Channel::State::State(std::shared_ptr<TunnelLink> of, TunnelSessionPtr what)
    : link(std::move(of)),
      session(std::move(what)),
      readable(link->connection_.get_executor(), Clock::time_point::max()),
      writable(link->connection_.get_executor(), Clock::time_point::max()),
      other(link->connection_.get_executor(), Clock::time_point::max())
{
}

INSTANCER_DECL bool TunnelLink::Channel::State::is_ready(Readiness what) const noexcept
{
    switch (what) {
    case Readiness::readable: return session->readable();
    case Readiness::writable: return link->multiplexer_.writable(*session);
    case Readiness::gone: return session->broken();
    }
    return false;
}

INSTANCER_DECL void TunnelLink::Channel::State::wake()
{
    if (is_ready(Readiness::readable))
        readable.cancel();
    if (is_ready(Readiness::writable))
        writable.cancel();
    if (is_ready(Readiness::gone))
        other.cancel();
}

INSTANCER_DECL void TunnelLink::Channel::close(std::string_view reason) noexcept
{
    if (std::exchange(state_->closed, true))
        return;
    state_->link->perform([&](TunnelMultiplexer& all) { all.close(state_->session, reason, Clock::now()); });
    for (auto* timer : {&state_->readable, &state_->writable, &state_->other})
        timer->cancel();
}

INSTANCER_DECL void TunnelLink::notice_silence(int fd) noexcept
{
    const int idle_seconds = 60, interval_seconds = 10, probes = 3, unanswered_milliseconds = 90'000;
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
    ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_milliseconds, sizeof unanswered_milliseconds);
}

INSTANCER_DECL asio::awaitable<void> TunnelLink::receive_all()
{
    using namespace asio::experimental::awaitable_operators;
    progress();
    while (!end_) {
        if (!multiplexer_.may_receive() && !gone_) {
            paused_ = true;
            const auto first = co_await (room_.async_wait(as_result) || connection_.wait(Readiness::gone));
            // What it had sent before is still there, and then comes the reason.
            gone_ = first.index() == 1;
            continue;
        }
        const auto ready = co_await connection_.wait(Readiness::readable);
        if (!ready && !end_)
            end(ready.error());
        if (!end_)
            receive();
    }
}

INSTANCER_DECL void TunnelLink::receive()
{
    const auto buffer = bridge_buffer();
    const auto count = connection_.try_read(buffer);
    if (!count) {
        if (count.error() != std::error_code(asio::error::would_block))
            end(count.error());
        return;
    }
    if (*count == 0)
        return end(Error(std::error_code(asio::error::eof)));
    if (const auto sign = std::exchange(sign_of_life_, nullptr))
        sign->set();
    const auto taken = multiplexer_.receive(buffer.first(*count), Clock::now());
    progress();
    if (!taken)
        return end(taken.error());
    if (heard_ && multiplexer_.heard())
        std::exchange(heard_, nullptr)();
}

INSTANCER_DECL void TunnelLink::progress()
{
    if (end_)
        return;
    flush();
    if (paused_ && multiplexer_.may_receive()) {
        paused_ = false;
        room_.cancel();
    }
    const auto next = multiplexer_.next_deadline();
    if (end_ || next >= armed_)
        return;
    armed_ = next;
    deadline_.expires_at(next);
    deadline_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
        if (const auto self = weak.lock(); self && !error)
            self->advance();
    });
}

INSTANCER_DECL void TunnelLink::advance()
{
    armed_ = Clock::time_point::max();
    if (end_)
        return;
    if (const auto alive = multiplexer_.advance(Clock::now()); !alive)
        return end(alive.error());
    progress();
}

INSTANCER_DECL void TunnelLink::flush()
{
    while (!writing_ && !end_ && !multiplexer_.output().empty()) {
        const auto sent = connection_.try_write(multiplexer_.output());
        if (sent) {
            multiplexer_.sent(*sent, Clock::now());
        } else if (sent.error() == std::error_code(asio::error::would_block)) {
            writing_ = true;
            auto task = write_rest(shared_from_this());
            asio::co_spawn(connection_.get_executor(), std::move(task), asio::detached);
        } else {
            end(sent.error());
        }
    }
}

INSTANCER_DECL asio::awaitable<void> TunnelLink::write_rest(std::shared_ptr<TunnelLink> self)
{
    const auto ready = co_await self->connection_.wait(Readiness::writable);
    self->writing_ = false;
    if (!ready && !self->end_)
        self->end(ready.error());
    self->progress();
}

}  // namespace instancer::detail
