// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <instancer/detail/async/asio_compat.hpp>
#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/detail/socket/lingering_close.hpp>
#include <instancer/detail/text/exception_text.hpp>
#include <instancer/stream.hpp>
#include <instancer/tunnel/multiplexer.hpp>

namespace instancer::detail {

/// A connection between server and agent with the sessions that it carries, each of them a Stream.
///
/// Threads: the executor of the connection.
class TunnelLink final : public std::enable_shared_from_this<TunnelLink> {
public:
    using Clock = TunnelMultiplexer::Clock;

    /// `displaced` as of TunnelMultiplexer.
    ///
    /// Lifetime: `observer` must outlive `run`.
    TunnelLink(TunnelMultiplexer::Role role, const TunnelOptions& options, Stream connection, TunnelObserver& observer,
               bool displaced = false)
        : connection_(std::move(connection)),
          deadline_(connection_.get_executor()),
          room_(connection_.get_executor(), Clock::time_point::max()),
          multiplexer_(role, options, address_of(&::getsockname), address_of(&::getpeername), observer, Clock::now(),
                       displaced)
    {
        notice_silence(connection_.native_handle());
    }

    /// Moves the link's bytes until it ends, and says why. All its sessions have ended then.
    asio::awaitable<Error> run()
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

    /// Has `run` complete.
    void end(Error why)
    {
        if (end_)
            return;
        end_ = std::move(why);
        room_.cancel();
        if (sign_of_life_)
            sign_of_life_->set();
        connection_.abort();
    }

    /// At the server: ends the link because the agent called so serves in its place. One of our own kind is told, as
    /// far as it reads.
    void displace(std::string_view by, Error why)
    {
        multiplexer_.displace(by, Clock::now());
        progress();
        if (!end_ && multiplexer_.negotiated())
            lingering_close(connection_);
        end(std::move(why));
    }

    /// At the server: whether the agent answers within `limit`. Of one that is not of our kind, its system answers.
    ///
    /// Cancellation: none; the end of the link ends it.
    asio::awaitable<bool> answers(Clock::duration limit)
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

    /// Called once, when the other end has said what it is.
    void on_heard(std::function<void()> listener) { heard_ = std::move(listener); }

    /// At the server.
    Stream open(std::optional<TunnelAddress> user, TunnelAddress target, std::string name)
    {
        return stream_of(multiplexer_.open(user, target, std::move(name), Clock::now()));
    }

    /// The stream of a session that the other end has opened; only one may be made.
    Stream stream_of(TunnelSessionPtr session)
    {
        Stream stream(std::make_unique<Channel>(shared_from_this(), std::move(session)));
        progress();
        return stream;
    }

    bool disconnect(std::string_view address)
    {
        const bool found = multiplexer_.disconnect(address, Clock::now());
        progress();
        return found;
    }

    const TunnelMultiplexer& multiplexer() const noexcept { return multiplexer_; }

    /// Ends a session for which there is no stream.
    void refuse(const TunnelSessionPtr& session, std::string_view reason)
    {
        multiplexer_.close(session, reason, Clock::now());
        progress();
    }

private:
    /// One session as a Stream. Its peer's resets can be seen, as over TCP.
    class Channel final : public Stream::Impl {
    public:
        Channel(std::shared_ptr<TunnelLink> link, TunnelSessionPtr session)
            : state_(std::make_shared<State>(std::move(link), std::move(session)))
        {
            state_->session->on_change([state = state_.get()] { state->wake(); });
        }
        ~Channel() override { Channel::abort(); }

        asio::any_io_executor get_executor() override { return state_->link->connection_.get_executor(); }

        Result<std::size_t> try_read(std::span<std::byte> buffer) override
        {
            if (state_->closed)
                return aborted();
            return state_->link->perform(
                [&](TunnelMultiplexer& all) { return all.read(state_->session, buffer, Clock::now()); });
        }

        Result<std::size_t> try_write(std::span<const std::byte> data) override
        {
            if (state_->closed)
                return aborted();
            return state_->link->perform(
                [&](TunnelMultiplexer& all) { return all.send(state_->session, data, Clock::now()); });
        }

        asio::awaitable<Result<void>> wait(Readiness what) override
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

        Result<void> shutdown_send() override
        {
            if (state_->closed)
                return aborted();
            state_->link->perform([&](TunnelMultiplexer& all) { all.finish(state_->session, Clock::now()); });
            return {};
        }

        void abort() noexcept override { close("ECONNRESET"); }
        void close() noexcept override { close("closed"); }

        Result<void> rebind(const asio::any_io_executor&) override
        {
            return fail(Errc::not_supported, "a session of a tunnel stays where its link is");
        }

        bool is_tcp() const noexcept override { return true; }

    private:
        /// Shared with the waits.
        struct State {
            State(std::shared_ptr<TunnelLink> of, TunnelSessionPtr what)
                : link(std::move(of)),
                  session(std::move(what)),
                  readable(link->connection_.get_executor(), Clock::time_point::max()),
                  writable(link->connection_.get_executor(), Clock::time_point::max()),
                  other(link->connection_.get_executor(), Clock::time_point::max())
            {
            }

            asio::steady_timer& timer_of(Readiness what) noexcept
            {
                return what == Readiness::readable ? readable : what == Readiness::writable ? writable : other;
            }

            bool is_ready(Readiness what) const noexcept
            {
                switch (what) {
                case Readiness::readable: return session->readable();
                case Readiness::writable: return link->multiplexer_.writable(*session);
                case Readiness::gone: return session->broken();
                }
                return false;
            }

            void wake()
            {
                if (is_ready(Readiness::readable))
                    readable.cancel();
                if (is_ready(Readiness::writable))
                    writable.cancel();
                if (is_ready(Readiness::gone))
                    other.cancel();
            }

            const std::shared_ptr<TunnelLink> link;
            const TunnelSessionPtr session;
            asio::steady_timer readable, writable, other;
            bool closed = false;
        };

        static tl::unexpected<Error> aborted() { return fail(std::error_code(asio::error::operation_aborted)); }

        void close(std::string_view reason) noexcept
        {
            if (std::exchange(state_->closed, true))
                return;
            state_->link->perform([&](TunnelMultiplexer& all) { all.close(state_->session, reason, Clock::now()); });
            for (auto* timer : {&state_->readable, &state_->writable, &state_->other})
                timer->cancel();
        }

        std::shared_ptr<State> state_;
    };

    template <class Call>
    TunnelAddress address_of(Call call) const
    {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        if (call(connection_.native_handle(), reinterpret_cast<sockaddr*>(&address), &size) != 0 ||
            address.sin_family != AF_INET)
            return {};
        return {ntohl(address.sin_addr.s_addr), ntohs(address.sin_port)};
    }

    /// An end that vanished without a word must be noticed soon: it comes back, and is waited for.
    static void notice_silence(int fd) noexcept
    {
        const int idle_seconds = 60, interval_seconds = 10, probes = 3, unanswered_milliseconds = 90'000;
        ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
        ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
        ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
        ::setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_milliseconds, sizeof unanswered_milliseconds);
    }

    template <class Call>
    std::invoke_result_t<const Call&, TunnelMultiplexer&> perform(const Call& call)
    {
        if constexpr (std::is_void_v<std::invoke_result_t<const Call&, TunnelMultiplexer&>>) {
            call(multiplexer_);
            progress();
        } else {
            auto result = call(multiplexer_);
            progress();
            return result;
        }
    }

    asio::awaitable<void> receive_all()
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

    void receive()
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

    /// Does what follows from any change: sends, and is there in time for what is due.
    void progress()
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

    void advance()
    {
        armed_ = Clock::time_point::max();
        if (end_)
            return;
        if (const auto alive = multiplexer_.advance(Clock::now()); !alive)
            return end(alive.error());
        progress();
    }

    /// Sends what can be sent at once; the rest is sent by a coroutine.
    void flush()
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

    static asio::awaitable<void> write_rest(std::shared_ptr<TunnelLink> self)
    {
        const auto ready = co_await self->connection_.wait(Readiness::writable);
        self->writing_ = false;
        if (!ready && !self->end_)
            self->end(ready.error());
        self->progress();
    }

    Stream connection_;
    asio::steady_timer deadline_;
    asio::steady_timer room_;  ///< Until the link may be read again.
    Clock::time_point armed_ = Clock::time_point::max();
    TunnelMultiplexer multiplexer_;
    std::function<void()> heard_;
    std::shared_ptr<AsyncEvent> sign_of_life_;  ///< That somebody waits for.
    std::optional<Error> end_;
    bool writing_ = false;
    bool paused_ = false;
    bool gone_ = false;  ///< The other end was reset while the link was not read.
};

}  // namespace instancer::detail
