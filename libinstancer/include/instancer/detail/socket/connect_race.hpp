// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/detail/socket/connect.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/unique_fd.hpp>

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

    /// RFC 8305 recommends this delay. With less time for all addresses, each has an equal part.
    static constexpr std::chrono::milliseconds head_start{250};

    /// `limit` is for all addresses together; `peer` is the stream's `peer_name`.
    ConnectRace(const asio::any_io_executor& executor, std::vector<Endpoint> endpoints, std::chrono::milliseconds limit,
                std::shared_ptr<const std::string> peer = nullptr);
    ConnectRace(const ConnectRace&) = delete;
    ConnectRace& operator=(const ConnectRace&) = delete;

    /// `listener` is called while `run` goes on. An address that lost without having had its head start is passed over.
    void on_answer(Listener listener) { listener_ = std::move(listener); }

    /// The first connection that is there; the others are gone.
    ///
    /// Cancellation: terminal.
    /// Errors: Errc::not_ready when nobody listens or answers; Errc::cancelled, also when `client`, which may be null,
    /// has gone; what the system reports.
    asio::awaitable<Result<Stream>> run(Stream* client = nullptr);

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

    asio::awaitable<void> finish();

    /// Does all that can be done now.
    void advance();

    void start(const Endpoint& endpoint, Clock::time_point now);

    void watch(Attempt& attempt);

    bool has_ended(Attempt& attempt);

    void conclude(UniqueFd socket, const Endpoint& endpoint, int error);

    void note_failure(const Endpoint& endpoint, Error error)
    {
        next_start_ = Clock::now();
        if (!is_want_of_ours(error))
            tell(endpoint, fail(error));
        failure_ = std::move(error);
    }

    /// What has not answered is not waited for any more.
    void give_up(Clock::time_point now);

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

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/socket/connect_race.hpp>
#endif
