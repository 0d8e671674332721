// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/socket/connect_race.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

INSTANCER_DECL ConnectRace::ConnectRace(const asio::any_io_executor& executor, std::vector<Endpoint> endpoints,
                                        std::chrono::milliseconds limit, std::shared_ptr<const std::string> peer)
    : executor_(executor),
      endpoints_(std::move(endpoints)),
      peer_(std::move(peer)),
      head_start_(std::min<Clock::duration>(head_start, limit / std::max<std::size_t>(endpoints_.size(), 1))),
      deadline_(Clock::now() + limit)
{
}

INSTANCER_DECL asio::awaitable<Result<Stream>> ConnectRace::run(Stream* client)
{
    // On this host it is over now, and nobody needs to be watched.
    advance();
    if (!is_over() && !client)
        co_await finish();
    if (!is_over() && client) {
        using namespace asio::experimental::awaitable_operators;
        co_await (finish() || client->wait(Readiness::gone));
    }
    const bool was_over = is_over();
    attempts_.clear();
    if (stream_)
        co_return std::move(stream_);
    if (!was_over)
        co_return fail(Errc::cancelled, "the client left");
    co_return fail(std::move(failure_));
}

INSTANCER_DECL asio::awaitable<void> ConnectRace::finish()
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    for (advance(); !is_over() && !is_cancelled(cancellation); advance()) {
        wake_->expires_at(next_ < endpoints_.size() ? std::min(deadline_, next_start_) : deadline_);
        co_await wake_->async_wait(as_result);
    }
}

INSTANCER_DECL void ConnectRace::advance()
{
    std::erase_if(attempts_, [this](Attempt& attempt) { return *attempt.answered && has_ended(attempt); });
    const auto now = Clock::now();
    while (!stream_ && now < deadline_ && next_ < endpoints_.size() && (attempts_.empty() || now >= next_start_))
        start(endpoints_[next_++], now);
    if (stream_ || now >= deadline_)
        give_up(now);
}

INSTANCER_DECL void ConnectRace::start(const Endpoint& endpoint, Clock::time_point now)
{
    next_start_ = now + head_start_;
    UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket)
        return note_failure(endpoint, Error(last_error(), "making a socket"));
    set_tcp_options(socket.get());
    if (const int error = begin_connect(socket.get(), endpoint); error != EALREADY)
        return conclude(std::move(socket), endpoint, error);
    auto& attempt = attempts_.emplace_back(executor_, endpoint, now);
    asio::error_code error;
    attempt.socket.assign(socket.get(), error);
    if (error) {
        attempts_.pop_back();
        return note_failure(endpoint, Error(error, "watching a connection"));
    }
    static_cast<void>(socket.release());
    watch(attempt);
}

INSTANCER_DECL void ConnectRace::watch(Attempt& attempt)
{
    if (!wake_)
        wake_ = std::make_shared<asio::steady_timer>(executor_);
    *attempt.answered = false;
    // It may complete when this object is gone.
    attempt.socket.async_wait(asio::posix::stream_descriptor::wait_write,
                              [wake = wake_, answered = attempt.answered](const asio::error_code& error) {
                                  *answered = !error;
                                  wake->cancel();
                              });
}

INSTANCER_DECL bool ConnectRace::has_ended(Attempt& attempt)
{
    const int error = try_connect(attempt.socket.native_handle(), attempt.endpoint);
    if (error == EALREADY)
        watch(attempt);
    else
        conclude(UniqueFd(attempt.socket.release()), attempt.endpoint, error);
    return error != EALREADY;
}

INSTANCER_DECL void ConnectRace::conclude(UniqueFd socket, const Endpoint& endpoint, int error)
{
    if (error != 0)
        return note_failure(endpoint, connect_error(endpoint, error));
    const int fd = socket.get();
    Stream stream(std::make_unique<SocketStream>(executor_, std::move(socket), SocketStream::Made::by_us_tcp, peer_));
    if (is_connected_to_itself(fd, endpoint)) {
        stream.abort();
        return note_failure(endpoint, connect_error(endpoint, ECONNREFUSED));
    }
    if (stream_)
        return;
    stream_ = std::move(stream);
    tell(endpoint, Result<void>());
}

INSTANCER_DECL void ConnectRace::give_up(Clock::time_point now)
{
    for (const auto& attempt : attempts_)
        if (!stream_ || now - attempt.began >= head_start_)
            note_failure(attempt.endpoint, connect_took_too_long(attempt.endpoint));
    attempts_.clear();
    next_ = endpoints_.size();
}

}  // namespace instancer::detail
