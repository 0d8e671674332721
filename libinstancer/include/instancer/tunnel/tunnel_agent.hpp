// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/bridge.hpp>
#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/socket/connect.hpp>
#include <instancer/detail/socket/connect_race.hpp>
#include <instancer/detail/socket/host_resolver.hpp>
#include <instancer/detail/text/exception_text.hpp>
#include <instancer/detail/tunnel/tunnel_link.hpp>
#include <instancer/events.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
#include <instancer/usage.hpp>

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
                Events& events)
        : executor_(std::move(executor)),
          service_(std::move(service)),
          options_(std::move(options)),
          bridge_(bridge),
          events_(events),
          pause_(executor_),
          drain_limit_(executor_),
          stopped_(executor_),
          idle_(executor_, Clock::time_point::max())
    {
    }
    TunnelAgent(const TunnelAgent&) = delete;
    TunnelAgent& operator=(const TunnelAgent&) = delete;

    /// Serves until `drain` or `stop`. When it completes, every session is gone.
    ///
    /// Cancellation: none; `drain` and `stop` end it.
    asio::awaitable<void> run()
    {
        for (bool failing = false; !stopped_.is_set();) {
            auto connection = co_await connect();
            if (stopped_.is_set())
                break;
            yields_ = false;
            if (connection) {
                failing = false;
                co_await serve_link(std::move(*connection));
            } else if (!std::exchange(failing, true)) {
                events_.warning(service_, "the server " + server() + " cannot be reached: " +
                                              connection.error().message() + "; it is tried until it can");
            }
            if (stopped_.is_set() || draining_)
                break;
            pause_.expires_after(yields_ ? std::max(options_.reconnect, options_.displaced_wait) : options_.reconnect);
            co_await pause_.async_wait(detail::as_result);
        }
        while (sessions_ > 0)
            co_await idle_.async_wait(detail::as_result);
        drain_limit_.cancel();
    }

    /// Takes no more sessions and lets those that there are finish, for `limit` at most (0: however long it takes).
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
    std::string server() const
    {
        const bool is_v6 = options_.host.find(':') != std::string::npos;
        return (is_v6 ? "[" + options_.host + "]" : options_.host) + ":" + std::to_string(options_.port);
    }

private:
    using Clock = std::chrono::steady_clock;

    asio::awaitable<Result<Stream>> connect()
    {
        using namespace asio::experimental::awaitable_operators;
        auto first = co_await (connect_to_any() || stopped_.wait());
        if (first.index() == 0)
            co_return std::move(std::get<0>(first));
        co_return fail(Errc::stopping);
    }

    asio::awaitable<Result<Stream>> connect_to_any()
    {
        auto found = co_await resolver_.find(options_.host, options_.port);
        if (!found)
            co_return fail(found.error());
        detail::ConnectRace race(executor_, std::move(*found), options_.connect_timeout);
        co_return co_await race.run();
    }

    asio::awaitable<Result<Stream>> connect_to(asio::ip::tcp::endpoint endpoint)
    {
        UniqueFd socket(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket)
            co_return fail(detail::last_error(), "making a socket");
        co_return co_await detail::connect(std::move(socket), endpoint, options_.connect_timeout);
    }

    asio::awaitable<void> serve_link(Stream connection)
    {
        TunnelObserver& observer = *this;
        const auto link = std::make_shared<detail::TunnelLink>(TunnelMultiplexer::Role::agent, options_.link,
                                                               std::move(connection), observer, displaced_);
        link_ = link;
        events_.notice(service_, "connected to the server " + server());
        const auto why = co_await link->run();
        link_.reset();
        events_.warning(service_, "the link to the server " + server() + " ended: " + why.message());
    }

    void session_opened(const TunnelSessionPtr& session) override
    {
        ++sessions_;
        displaced_ = false;
        // Not at once: the link is at work.
        asio::post(executor_, [this, link = link_, session] {
            auto task = serve(link, session);
            asio::co_spawn(executor_, std::move(task), asio::detached);
        });
    }

    /// A session from its opening to its end.
    asio::awaitable<void> serve(std::shared_ptr<detail::TunnelLink> link, TunnelSessionPtr session)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        try {
            co_await join(*link, session);
        } catch (...) {
            events_.warning(service_, "session of " + session->user().to_string() + ": " + detail::exception_text());
        }
        link->refuse(session, "ECONNABORTED");
        --sessions_;
        idle_.cancel();
        if (sessions_ == 0 && draining_)
            stop();
    }

    asio::awaitable<void> join(detail::TunnelLink& link, TunnelSessionPtr session)
    {
        const auto target = session->target();
        if (draining_)
            co_return link.refuse(session, "ECONNREFUSED");
        if (options_.admits_target && !options_.admits_target(target)) {
            events_.warning(service_, "the server wants a connection to " + target.to_string() +
                                          ", which is not on the list of targets");
            co_return link.refuse(session, "EACCES");
        }
        auto user = link.stream_of(session);
        const auto begin = Clock::now();
        auto connection = co_await reach(user, target);
        if (!connection) {
            // What the connection met is lost in the text; only that it took too long can be told apart.
            const bool is_late = Clock::now() - begin >= options_.connect_timeout;
            const auto number = connection.error().code().value();
            const bool is_system = connection.error().code().category() != error_category();
            const auto* name = is_system ? ::strerrorname_np(number) : nullptr;
            events_.notice(service_, "target of " + session->user().to_string() + ": " + connection.error().message());
            co_return link.refuse(session, name ? name : is_late ? "ETIMEDOUT" : "ECONNREFUSED");
        }
        Usage usage;
        LinkState state;
        Link both(std::move(user), std::move(*connection), usage, state);
        session->on_silence([&both] { return both.instance().unsent(); });
        co_await bridge_.run(both);
    }

    /// Connects to the target, unless the user goes meanwhile.
    asio::awaitable<Result<Stream>> reach(Stream& user, TunnelAddress target)
    {
        using namespace asio::experimental::awaitable_operators;
        auto first = co_await (connect_to(target.endpoint()) || user.wait(Readiness::gone));
        if (first.index() == 0)
            co_return std::move(std::get<0>(first));
        co_return fail(Errc::cancelled, "the user has left");
    }

    void session_refused() override
    {
        const auto now = Clock::now();
        if (now < next_refusal_)
            return;
        next_refusal_ = now + std::chrono::minutes(1);
        events_.warning(service_, "the server wants more sessions than the " +
                                      std::to_string(options_.link.max_sessions) +
                                      " that there may be; further ones are refused (max-sessions)");
    }

    void displaced(std::string_view by) override
    {
        displaced_ = true;
        if (std::exchange(yields_, true))
            return;
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.displaced_wait).count();
        events_.warning(service_, "agent " + std::string(by) + " serves in our place; the server is asked again in " +
                                      std::to_string(seconds) + " s");
    }

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
    detail::AsyncEvent stopped_;
    detail::HostResolver resolver_;
    asio::steady_timer idle_;  ///< Until sessions have ended.
    std::shared_ptr<detail::TunnelLink> link_;
    std::size_t sessions_ = 0;
    Clock::time_point next_refusal_ = Clock::time_point::min();  ///< That is logged.
    bool yields_ = false;     ///< On the last link the server said that another agent serves.
    bool displaced_ = false;  ///< It said so, and has opened no session since.
    bool draining_ = false;
};

}  // namespace instancer
