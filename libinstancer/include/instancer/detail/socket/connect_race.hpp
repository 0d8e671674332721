// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/socket/connect.hpp>

namespace instancer::detail {

/// Connects to whichever of several addresses answers first (RFC 8305): each has a head start before the next one is
/// tried beside it, and one that refuses is followed at once.
///
/// Threads: its executor's.
class ConnectRace {
public:
    using Endpoint = asio::ip::tcp::endpoint;
    /// Hears what became of an address; an error is that of the address, not a lack of ours.
    using Listener = std::function<void(const Endpoint&, const Result<void>&)>;

    /// With less time for all of them, each has an equal part.
    static constexpr std::chrono::milliseconds head_start{250};

    /// `limit` is for all addresses together; `peer` is the stream's `peer_name`.
    ConnectRace(const asio::any_io_executor& executor, std::vector<Endpoint> endpoints, std::chrono::milliseconds limit,
                std::shared_ptr<const std::string> peer = nullptr)
        : executor_(executor),
          endpoints_(std::move(endpoints)),
          peer_(std::move(peer)),
          head_start_(std::min<Clock::duration>(head_start, limit / std::max<std::size_t>(endpoints_.size(), 1))),
          deadline_(Clock::now() + limit)
    {
    }
    ConnectRace(const ConnectRace&) = delete;
    ConnectRace& operator=(const ConnectRace&) = delete;

    /// `listener` is called while `run` goes on. An address that lost without having had its head start is passed over.
    void on_answer(Listener listener) { listener_ = std::move(listener); }

    /// The first connection that is there; the others are gone.
    ///
    /// Cancellation: terminal.
    /// Errors: Errc::not_ready when nobody listens or answers; Errc::cancelled, also when `client`, which may be null,
    /// has gone; what the system reports.
    asio::awaitable<Result<Stream>> run(Stream* client = nullptr)
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

private:
    using Clock = std::chrono::steady_clock;

    /// A connection that is being made.
    struct Attempt {
        Attempt(const asio::any_io_executor& executor, const Endpoint& to, Clock::time_point now)
            : endpoint(to), socket(executor), began(now)
        {
        }

        const Endpoint endpoint;
        asio::posix::stream_descriptor socket;
        const Clock::time_point began;
        const std::shared_ptr<bool> answered = std::make_shared<bool>();
    };

    bool is_over() const noexcept { return stream_ || (attempts_.empty() && next_ == endpoints_.size()); }

    asio::awaitable<void> finish()
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        for (advance(); !is_over() && !is_cancelled(cancellation); advance()) {
            wake_->expires_at(next_ < endpoints_.size() ? std::min(deadline_, next_start_) : deadline_);
            co_await wake_->async_wait(as_result);
        }
    }

    /// Does all that can be done now.
    void advance()
    {
        std::erase_if(attempts_, [this](Attempt& attempt) { return *attempt.answered && has_ended(attempt); });
        const auto now = Clock::now();
        while (!stream_ && now < deadline_ && next_ < endpoints_.size() && (attempts_.empty() || now >= next_start_))
            start(endpoints_[next_++], now);
        if (stream_ || now >= deadline_)
            give_up(now);
    }

    void start(const Endpoint& endpoint, Clock::time_point now)
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

    void watch(Attempt& attempt)
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

    bool has_ended(Attempt& attempt)
    {
        const int error = try_connect(attempt.socket.native_handle(), attempt.endpoint);
        if (error == EALREADY)
            watch(attempt);
        else
            conclude(UniqueFd(attempt.socket.release()), attempt.endpoint, error);
        return error != EALREADY;
    }

    void conclude(UniqueFd socket, const Endpoint& endpoint, int error)
    {
        if (error != 0)
            return note_failure(endpoint, connect_error(endpoint, error));
        const int fd = socket.get();
        Stream stream(
            std::make_unique<SocketStream>(executor_, std::move(socket), SocketStream::Made::by_us_tcp, peer_));
        if (is_connected_to_itself(fd, endpoint)) {
            stream.abort();
            return note_failure(endpoint, connect_error(endpoint, ECONNREFUSED));
        }
        if (stream_)
            return;
        stream_ = std::move(stream);
        tell(endpoint, Result<void>());
    }

    void note_failure(const Endpoint& endpoint, Error error)
    {
        next_start_ = Clock::now();
        if (!is_want_of_ours(error))
            tell(endpoint, fail(error));
        failure_ = std::move(error);
    }

    /// What has not answered is not waited for any more.
    void give_up(Clock::time_point now)
    {
        for (const auto& attempt : attempts_)
            if (!stream_ || now - attempt.began >= head_start_)
                note_failure(attempt.endpoint, connect_took_too_long(attempt.endpoint));
        attempts_.clear();
        next_ = endpoints_.size();
    }

    void tell(const Endpoint& endpoint, const Result<void>& answer) const
    {
        if (listener_)
            listener_(endpoint, answer);
    }

    const asio::any_io_executor executor_;
    const std::vector<Endpoint> endpoints_;
    const std::shared_ptr<const std::string> peer_;
    const Clock::duration head_start_;
    const Clock::time_point deadline_;
    Listener listener_;
    std::shared_ptr<asio::steady_timer> wake_;  ///< Once it takes a while.
    std::list<Attempt> attempts_;
    std::size_t next_ = 0;  ///< The first endpoint that was not tried.
    Clock::time_point next_start_;
    Stream stream_;
    Error failure_{Errc::not_ready, "there is no address to connect to"};
};

}  // namespace instancer::detail
