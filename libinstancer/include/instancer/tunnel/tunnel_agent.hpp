// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/async/host_resolver.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/tunnel/tunnel_link.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_observer.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer {

/// How a TunnelAgent serves.
class TunnelAgentOptions {
public:
    TunnelOptions link;  ///< How its connection is used.

    std::string host;        ///< Of the server: a name or an address.
    std::uint16_t port = 0;  ///< Port of the server.

    /// Before the server is tried again.
    std::chrono::milliseconds reconnect{5000};

    /// The same, after the server has said that another agent serves in our place.
    std::chrono::milliseconds displaced_wait{60'000};

    /// For the server, and for a target.
    std::chrono::milliseconds connect_timeout{5000};

    /// Which targets the server may have us connect to; any without it.
    std::function<bool(const TunnelAddress&)> admits_target;

    TunnelAgentOptions() = default;
};

/// The end of a reverse tunnel inside a closed network: dials out to a server, for as long as it takes, and connects to
/// the targets that the server's users want.
///
/// Lifetime: it must stay until `run` has completed.
/// Threads: every member on its executor.
class TunnelAgent final : private TunnelObserver {
public:
    /// Lifetime: `bridge` and `events` must outlive the agent.
    TunnelAgent(asio::any_io_executor executor, std::string service, TunnelAgentOptions options, Bridge& bridge,
                Events& events);
    TunnelAgent(const TunnelAgent&) = delete;
    TunnelAgent& operator=(const TunnelAgent&) = delete;

    /// Serves until `drain` or `stop`. When it completes, every session is gone.
    ///
    /// Cancellation: none; `drain` and `stop` end it.
    asio::awaitable<void> run();

    /// Takes no more sessions and lets the present ones finish, for `limit` at most (0: however long it takes).
    void drain(std::chrono::milliseconds limit)
    {
        draining_ = true;
        if (sessions_ == 0)
            return stop();
        if (limit != limit.zero())
            drain_limit_.set(limit, [this] { stop(); });
    }

    /// Ends the link and every session now.
    void stop()
    {
        stopped_.set();
        pause_.cancel();
        if (link_)
            link_->end(Error(Errc::stopping, "the agent is stopping"));
    }

    /// Sessions that are going on.
    std::size_t sessions() const noexcept { return sessions_; }

    /// Whether it is connected to its server.
    bool connected() const noexcept { return link_ != nullptr; }

    /// `HOST:PORT`
    std::string server() const;

private:
    using Clock = std::chrono::steady_clock;

    asio::awaitable<Result<Stream>> connect();

    asio::awaitable<Result<Stream>> connect_to_any();

    asio::awaitable<void> serve_link(Stream connection);

    void session_opened(const TunnelSessionPtr& session) override;

    /// A session from its opening to its end.
    asio::awaitable<void> serve(std::shared_ptr<detail::TunnelLink> link, TunnelSessionPtr session);

    asio::awaitable<void> join(detail::TunnelLink& link, TunnelSessionPtr session);

    /// Connects to the target, unless the user goes meanwhile.
    asio::awaitable<Result<Stream>> reach(Stream& user, TunnelAddress target);

    void session_refused() override;

    void displaced(std::string_view by) override;

    void negotiated() override
    {
        events_.notice(service_, "the server is of our kind: sessions have windows and half-close");
    }

    void round_trip(std::chrono::nanoseconds time) override
    {
        const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(time).count();
        events_.notice(service_, "the server is alive; round trip " + std::to_string(microseconds) + " us");
    }

    void session_disconnected(const TunnelSession& session, std::string_view reason) override
    {
        events_.notice(service_, "session of " + session.user().to_string() + " to " + session.target().to_string() +
                                     " is disconnected: " + std::string(reason));
    }

    std::string control(std::string_view text) override
    {
        events_.notice(service_, "the server asks: " + std::string(text));
        return "instancer agent, " + std::to_string(sessions_) + " sessions";
    }

    const asio::any_io_executor executor_;
    const std::string service_;
    const TunnelAgentOptions options_;
    Bridge& bridge_;
    Events& events_;
    asio::steady_timer pause_;
    detail::Deadline drain_limit_;
    AsyncEvent stopped_;
    HostResolver resolver_;
    asio::steady_timer idle_;  ///< Until sessions have ended.
    std::shared_ptr<detail::TunnelLink> link_;
    std::size_t sessions_ = 0;
    Clock::time_point next_refusal_ = Clock::time_point::min();  ///< That is logged.
    bool yields_ = false;     ///< On the last link the server said that another agent serves.
    bool displaced_ = false;  ///< It said so, and has opened no session since.
    bool draining_ = false;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/tunnel/tunnel_agent.hpp>
#endif
