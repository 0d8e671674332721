// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>

namespace instancer {

INSTANCER_DECL TunnelAgent::TunnelAgent(asio::any_io_executor executor, std::string service, TunnelAgentOptions options,
                                        Bridge& bridge, Events& events)
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

INSTANCER_DECL asio::awaitable<void> TunnelAgent::run()
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
            events_.warning(service_, "the server " + server() + " cannot be reached: " + connection.error().message() +
                                          "; it is tried until it can");
        }
        if (stopped_.is_set() || draining_)
            break;
        pause_.expires_after(yields_ ? std::max(options_.reconnect, options_.displaced_wait) : options_.reconnect);
        co_await pause_.async_wait(as_result);
    }
    while (sessions_ > 0)
        co_await idle_.async_wait(as_result);
    drain_limit_.cancel();
}

INSTANCER_DECL std::string TunnelAgent::server() const
{
    const bool is_v6 = options_.host.find(':') != std::string::npos;
    return (is_v6 ? "[" + options_.host + "]" : options_.host) + ":" + std::to_string(options_.port);
}

INSTANCER_DECL asio::awaitable<Result<Stream>> TunnelAgent::connect()
{
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (connect_to_any() || stopped_.wait());
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return fail(Errc::stopping);
}

INSTANCER_DECL asio::awaitable<Result<Stream>> TunnelAgent::connect_to_any()
{
    auto found = co_await resolver_.find(options_.host, options_.port);
    if (!found)
        co_return fail(found.error());
    detail::ConnectRace race(executor_, std::move(*found), options_.connect_timeout);
    co_return co_await race.run();
}

INSTANCER_DECL asio::awaitable<void> TunnelAgent::serve_link(Stream connection)
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

INSTANCER_DECL void TunnelAgent::session_opened(const TunnelSessionPtr& session)
{
    ++sessions_;
    displaced_ = false;
    // Not at once: the link is at work.
    asio::post(executor_, [this, link = link_, session] {
        auto task = serve(link, session);
        asio::co_spawn(executor_, std::move(task), asio::detached);
    });
}

INSTANCER_DECL asio::awaitable<void> TunnelAgent::serve(std::shared_ptr<detail::TunnelLink> link,
                                                        TunnelSessionPtr session)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    try {
        co_await join(*link, session);
    } catch (...) {
        events_.warning(service_, "session of " + session->user().to_string() + ": " + exception_text());
    }
    link->refuse(session, "ECONNABORTED");
    --sessions_;
    idle_.cancel();
    if (sessions_ == 0 && draining_)
        stop();
}

INSTANCER_DECL asio::awaitable<void> TunnelAgent::join(detail::TunnelLink& link, TunnelSessionPtr session)
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

INSTANCER_DECL asio::awaitable<Result<Stream>> TunnelAgent::reach(Stream& user, TunnelAddress target)
{
    std::vector<asio::ip::tcp::endpoint> endpoints(1, target.endpoint());
    detail::ConnectRace race(executor_, std::move(endpoints), options_.connect_timeout);
    co_return co_await race.run(&user);
}

INSTANCER_DECL void TunnelAgent::session_refused()
{
    const auto now = Clock::now();
    if (now < next_refusal_)
        return;
    next_refusal_ = now + std::chrono::minutes(1);
    events_.warning(service_, "the server wants more sessions than the " + std::to_string(options_.link.max_sessions) +
                                  " that there may be; further ones are refused (max-sessions)");
}

INSTANCER_DECL void TunnelAgent::displaced(std::string_view by)
{
    displaced_ = true;
    if (std::exchange(yields_, true))
        return;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.displaced_wait).count();
    events_.warning(service_, "agent " + std::string(by) + " serves in our place; the server is asked again in " +
                                  std::to_string(seconds) + " s");
}

}  // namespace instancer
