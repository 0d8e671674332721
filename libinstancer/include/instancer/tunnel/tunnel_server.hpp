// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/detail/async/async_event.hpp>
#include <instancer/detail/tunnel/tunnel_link.hpp>
#include <instancer/events.hpp>
#include <instancer/tunnel/tunnel_options.hpp>

namespace instancer {

/// How a TunnelServer serves.
class TunnelServerOptions {
public:
    TunnelOptions link;  ///< How the agent's connection is used.

    /// Which addresses an agent may come from; nobody without it.
    std::function<bool(const asio::ip::address&)> admits_agent;

    SecondAgent second_agent = SecondAgent::takes_over;  ///< What happens when a second agent connects.

    /// How long users wait for an agent while there is none.
    std::chrono::milliseconds agent_wait{10'000};

    /// How long an agent may take to say that it is of our kind; another one need not say anything.
    std::chrono::milliseconds greeting_wait{250};

    TunnelServerOptions() = default;
};

/// A session that goes on, for whoever looks.
class TunnelSessionStatus {
public:
    /// All of it at once.
    TunnelSessionStatus(TunnelAddress at, TunnelAddress to, std::string who)
        : user(at), target(to), name(std::move(who))
    {
    }

    TunnelAddress user;    ///< What the session is called on the link.
    TunnelAddress target;  ///< What it is connected to.
    std::string name;      ///< Who the user really is.
};

/// Where agents report, and through which users reach what is behind them: the public end of a reverse tunnel. It has
/// one link at a time.
///
/// Lifetime: it must stay until `run` has completed and every stream that it opened is gone.
/// Threads: every member on its executor, where all its streams live.
class TunnelServer final {
public:
    /// `acceptors` take agents in. They were made on `executor`.
    ///
    /// Lifetime: `events` must outlive the server.
    TunnelServer(asio::any_io_executor executor, std::string service, TunnelServerOptions options,
                 std::vector<std::unique_ptr<Acceptor>> acceptors, Events& events)
        : executor_(std::move(executor)),
          service_(std::move(service)),
          options_(std::move(options)),
          acceptors_(std::move(acceptors)),
          events_(events),
          arrival_(executor_, Clock::time_point::max()),
          over_(executor_)
    {
    }
    TunnelServer(const TunnelServer&) = delete;
    TunnelServer& operator=(const TunnelServer&) = delete;

    /// Where it must be used.
    asio::any_io_executor get_executor() const { return executor_; }

    /// Takes agents in until `stop`. When it completes, no agent is connected.
    ///
    /// Cancellation: none; `stop` ends it.
    asio::awaitable<void> run()
    {
        for (const auto& acceptor : acceptors_) {
            events_.listening(service_ + " (agents)", acceptor->address());
            spawn(accept_loop(*acceptor));
        }
        check_over();
        co_await over_.wait();
    }

    /// Ends the link, with a reset for its sessions, and takes no more agents in.
    void stop()
    {
        stopping_ = true;
        for (const auto& acceptor : acceptors_)
            acceptor->close();
        for (const auto& agent : agents_)
            agent->link->end(Error(Errc::stopping, "the server is stopping"));
        arrival_.cancel();
        check_over();
    }

    /// Opens a session to `target`, for `client`. It waits for an agent if there is none, for as long as `stream`,
    /// which may be null, is not gone.
    ///
    /// Time: `agent_wait` at most.
    /// Cancellation: terminal.
    /// Errors: Errc::backend_unavailable without an agent, Errc::cancelled, Errc::stopping. A target that the agent
    /// does not reach is a reset of the stream, later.
    asio::awaitable<Result<Stream>> open(TunnelAddress target, ClientInfo client, Stream* stream)
    {
        if (!agent_) {
            auto came = co_await wait_for_agent(stream);
            if (!came)
                co_return fail(std::move(came.error()));
        }
        std::optional<TunnelAddress> user;
        if (client.peer() && client.peer()->address().is_v4())
            user = TunnelAddress(*client.peer());
        co_return agent_->link->open(user, target, client.to_string());
    }

    /// Ends the session of the user who is called so, on the link or by a name of their own. False when there is none.
    bool disconnect(std::string_view address) { return agent_ && agent_->link->disconnect(address); }

    /// What there is to say about each session.
    std::vector<TunnelSessionStatus> sessions() const
    {
        std::vector<TunnelSessionStatus> all;
        if (agent_)
            for (const auto& session : agent_->link->multiplexer().sessions())
                all.emplace_back(session->user(), session->target(), session->name());
        return all;
    }

    /// The address of the agent; empty without one.
    std::string agent() const { return agent_ ? agent_->name : std::string(); }

private:
    using Clock = std::chrono::steady_clock;

    /// Agents that may be connected while another one serves: they say what they are, or ask to serve in its place.
    static constexpr std::size_t max_others = 16;

    /// An agent that is connected.
    class Agent final : public TunnelObserver {
    public:
        Agent(TunnelServer& server, Stream connection, std::string called)
            : name(std::move(called)),
              link(std::make_shared<detail::TunnelLink>(TunnelMultiplexer::Role::server, server.options_.link,
                                                        std::move(connection), *this)),
              introduced(server.executor_),
              server_(server)
        {
            link->on_heard([this] { introduced.set(); });
        }

        const std::string name;
        const std::shared_ptr<detail::TunnelLink> link;
        detail::AsyncEvent introduced;  ///< It has said what it is, or is gone.

    private:
        void session_disconnected(const TunnelSession& session, std::string_view reason) override
        {
            server_.events_.notice(server_.service_, "session of " + session.name() + " to " +
                                                         session.target().to_string() +
                                                         " is disconnected: " + std::string(reason));
        }

        void negotiated() override
        {
            server_.events_.notice(server_.service_,
                                   "agent " + name + " is of our kind: sessions have windows and half-close");
        }

        std::string control(std::string_view text) override
        {
            server_.events_.notice(server_.service_, "agent " + name + " answers: " + std::string(text));
            return {};
        }

        TunnelServer& server_;
    };

    using AgentPtr = std::shared_ptr<Agent>;

    asio::awaitable<Result<void>> wait_for_agent(Stream* client)
    {
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer deadline(executor_, options_.agent_wait);
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        while (!agent_) {
            if (stopping_)
                co_return fail(Errc::stopping);
            if (detail::is_cancelled(cancellation))
                co_return fail(Errc::cancelled);
            const auto first = co_await (arrival_.async_wait(detail::as_result) ||
                                         deadline.async_wait(detail::as_result) || leaving(client));
            if (first.index() == 1 && !agent_)
                co_return fail(Errc::backend_unavailable, "no agent is connected");
            if (first.index() == 2)
                co_return fail(Errc::cancelled, "the client left");
        }
        co_return Result<void>();
    }

    asio::awaitable<void> leaving(Stream* client)
    {
        asio::steady_timer never(executor_, Clock::time_point::max());
        if (client)
            co_await client->wait(Readiness::gone);
        else
            co_await never.async_wait(detail::as_result);
    }

    asio::awaitable<void> accept_loop(Acceptor& acceptor)
    {
        for (bool failing = false; !stopping_;) {
            auto accepted = co_await acceptor.accept(executor_);
            if (accepted) {
                failing = false;
                take_in(*accepted);
                continue;
            }
            if (stopping_ || accepted.error() == std::error_code(asio::error::operation_aborted))
                break;
            if (!std::exchange(failing, true))
                events_.warning(service_, accepted.error().message() + "; agents wait until it works again");
            asio::steady_timer pause(executor_, std::chrono::milliseconds(100));
            co_await pause.async_wait(detail::as_result);
        }
    }

    void take_in(Accepted& accepted)
    {
        const auto& peer = accepted.info().peer();
        const auto name = accepted.info().to_string();
        auto stream = std::move(accepted.stream());
        if (accepted.refusal() || !peer || !options_.admits_agent || !options_.admits_agent(peer->address())) {
            events_.warning(service_, "agent " + name + " is not let in: its address is not on the list of agents");
            return stream.abort();
        }
        if (is_taken(name) || stopping_)
            return stream.abort();
        if (agents_.size() > max_others) {
            events_.warning(service_, "agent " + name + " is not let in: " + std::to_string(max_others) +
                                          " others ask for the place of agent " + this->agent());
            return stream.abort();
        }
        const auto agent = std::make_shared<Agent>(*this, std::move(stream), name);
        agents_.insert(agent);
        spawn(serve(agent));
        spawn(introduce(agent));
    }

    /// Whether an agent serves that no other one may displace.
    bool is_taken(const std::string& name) const
    {
        if (!agent_ || options_.second_agent != SecondAgent::refused)
            return false;
        events_.warning(service_, "agent " + name + " is refused: agent " + agent_->name + " is connected");
        return true;
    }

    void spawn(asio::awaitable<void> task)
    {
        ++running_;
        asio::co_spawn(executor_, std::move(task), [this](std::exception_ptr) {
            --running_;
            check_over();
        });
    }

    /// A link from its beginning to its end.
    asio::awaitable<void> serve(AgentPtr agent)
    {
        const auto why = co_await agent->link->run();
        events_.warning(service_, "the link to agent " + agent->name + " ended: " + why.message());
        agents_.erase(agent);
        if (agent_ == agent)
            agent_.reset();
        agent->introduced.set();
    }

    /// Waits until the agent has said what it is, and has it serve if it may.
    asio::awaitable<void> introduce(AgentPtr agent)
    {
        using namespace asio::experimental::awaitable_operators;
        asio::steady_timer limit(executor_, options_.greeting_wait);
        co_await (agent->introduced.wait() || limit.async_wait(detail::as_result));
        if (agent->link->multiplexer().peer_was_displaced()) {
            const auto serving = co_await answering(*agent);
            if (serving)
                co_return agent->link->displace(serving->name,
                                                Error(Errc::rejected, "agent " + serving->name + " answers"));
        }
        if (!agents_.contains(agent))
            co_return;
        if (is_taken(agent->name))
            co_return agent->link->end(Error(Errc::rejected, "agent " + agent_->name + " serves"));
        install(agent);
    }

    /// The agent that serves, if it answers, now that one that was displaced wants its place.
    asio::awaitable<AgentPtr> answering(const Agent& displaced)
    {
        AgentPtr silent;
        while (agent_ && agent_ != silent) {
            const auto serving = agent_;
            events_.notice(service_, "agent " + displaced.name + ", which was displaced, asks to serve again; agent " +
                                         serving->name + " is asked for a sign of life");
            const bool answers = co_await serving->link->answers(options_.link.answer_timeout);
            if (answers)
                co_return serving;
            events_.warning(service_, "agent " + serving->name + " gives no sign of life");
            silent = serving;
        }
        co_return nullptr;
    }

    /// Has the agent serve from now on.
    void install(const AgentPtr& agent)
    {
        const auto former = std::exchange(agent_, agent);
        if (former)
            former->link->displace(agent->name, Error(Errc::cancelled, "agent " + agent->name + " takes over"));
        events_.notice(service_, "agent " + agent->name + " is connected");
        arrival_.cancel();
    }

    void check_over()
    {
        if (stopping_ && running_ == 0)
            over_.set();
    }

    const asio::any_io_executor executor_;
    const std::string service_;
    const TunnelServerOptions options_;
    const std::vector<std::unique_ptr<Acceptor>> acceptors_;
    Events& events_;
    asio::steady_timer arrival_;  ///< Of an agent that is ready.
    detail::AsyncEvent over_;
    std::set<AgentPtr> agents_;  ///< All that are connected.
    AgentPtr agent_;             ///< The one that serves.
    bool stopping_ = false;
    std::size_t running_ = 0;  ///< Coroutines of ours.
};

}  // namespace instancer
