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

#include <asio/steady_timer.hpp>
#include <sys/socket.h>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/lingering_close.hpp>
#include <instancer/stream.hpp>
#include <instancer/text/exception_text.hpp>
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
               bool displaced = false);

    /// Moves the link's bytes until it ends, and says why. All its sessions have ended then.
    asio::awaitable<Error> run();

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
    asio::awaitable<bool> answers(Clock::duration limit);

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
        Channel(std::shared_ptr<TunnelLink> link, TunnelSessionPtr session);
        ~Channel() override { Channel::abort(); }

        asio::any_io_executor get_executor() override { return state_->link->connection_.get_executor(); }

        Result<std::size_t> try_read(std::span<std::byte> buffer) override;

        Result<std::size_t> try_write(std::span<const std::byte> data) override;

        asio::awaitable<Result<void>> wait(Readiness what) override;

        Result<void> shutdown_send() override;

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
            State(std::shared_ptr<TunnelLink> of, TunnelSessionPtr what);

            asio::steady_timer& timer_of(Readiness what) noexcept
            {
                return what == Readiness::readable ? readable : what == Readiness::writable ? writable : other;
            }

            bool is_ready(Readiness what) const noexcept;

            void wake();

            const std::shared_ptr<TunnelLink> link;
            const TunnelSessionPtr session;
            asio::steady_timer readable, writable, other;
            bool closed = false;
        };

        static tl::unexpected<Error> aborted() { return fail(std::error_code(asio::error::operation_aborted)); }

        void close(std::string_view reason) noexcept;

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
    static void notice_silence(int fd) noexcept;

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

    asio::awaitable<void> receive_all();

    void receive();

    /// Does what follows from any change: sends, and is there in time for what is due.
    void progress();

    void advance();

    /// Sends what can be sent at once; the rest is sent by a coroutine.
    void flush();

    static asio::awaitable<void> write_rest(std::shared_ptr<TunnelLink> self);

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

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/tunnel/tunnel_link.hpp>
#endif
