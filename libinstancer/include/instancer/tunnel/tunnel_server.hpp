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
#include <asio/steady_timer.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/tunnel/tunnel_link.hpp>
#include <instancer/detail/tunnel/unlisted_agents.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_observer.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
#include <instancer/tunnel/tunnel_session.hpp>

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

/// The state of a session that goes on.
class TunnelSessionStatus {
public:
    /// All of it at once.
    TunnelSessionStatus(TunnelAddress at, TunnelAddress to, std::string who)
        : user(at), target(to), name(std::move(who))
    {
    }

    TunnelAddress user;    ///< What the session is called on the link.
    TunnelAddress target;  ///< Its other end.
    std::string name;      ///< The user's real address.
};

/// The public end of a reverse tunnel: agents report to it, and users reach the targets behind agents by it. It has
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
                 std::vector<std::unique_ptr<Acceptor>> acceptors, Events& events);
    TunnelServer(const TunnelServer&) = delete;
    TunnelServer& operator=(const TunnelServer&) = delete;

    /// Where it must be used.
    asio::any_io_executor get_executor() const { return executor_; }

    /// Takes agents in until `stop`. When it completes, no agent is connected.
    ///
    /// Cancellation: none; `stop` ends it.
    asio::awaitable<void> run();

    /// Ends the link, with a reset for its sessions, and takes no more agents in.
    void stop();

    /// Opens a session to `target`, for `client`. It waits for an agent if there is none, for as long as `stream`,
    /// which may be null, is not gone.
    ///
    /// Time: `agent_wait` at most.
    /// Cancellation: terminal.
    /// Errors: Errc::backend_unavailable without an agent, Errc::cancelled, Errc::stopping. A target that the agent
    /// does not reach is a reset of the stream, later.
    asio::awaitable<Result<Stream>> open(TunnelAddress target, ClientInfo client, Stream* stream);

    /// Ends the session of the user who is called so, on the link or by a name of their own. False when there is none.
    bool disconnect(std::string_view address) { return agent_ && agent_->link->disconnect(address); }

    /// The state of each session.
    std::vector<TunnelSessionStatus> sessions() const;

    /// The address of the agent; empty without one.
    std::string agent() const { return agent_ ? agent_->name : std::string(); }

private:
    using Clock = std::chrono::steady_clock;

    /// Agents that may be connected while another one serves: they say what they are, or ask to serve in its place.
    /// A guess.
    static constexpr std::size_t max_others = 16;

    /// An agent that is connected.
    class Agent final : public TunnelObserver {
    public:
        Agent(TunnelServer& server, Stream connection, std::string called);

        const std::string name;
        const std::shared_ptr<detail::TunnelLink> link;
        AsyncEvent introduced;  ///< It has said what it is, or is gone.

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

    asio::awaitable<Result<void>> wait_for_agent(Stream* client);

    asio::awaitable<void> leaving(Stream* client);

    asio::awaitable<void> accept_loop(Acceptor& acceptor);

    void take_in(Accepted& accepted);

    /// Warns of so many that had no warning of their own.
    void tell_unlisted(std::size_t count);

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
    asio::awaitable<void> serve(AgentPtr agent);

    /// Waits until the agent has said what it is, and has it serve if it may.
    asio::awaitable<void> introduce(AgentPtr agent);

    /// The agent that serves, if it answers, now that one that was displaced wants its place.
    asio::awaitable<AgentPtr> answering(const Agent& displaced);

    /// Has the agent serve from now on.
    void install(const AgentPtr& agent);

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
    AsyncEvent over_;
    detail::UnlistedAgents unlisted_;
    std::set<AgentPtr> agents_;  ///< All that are connected.
    AgentPtr agent_;             ///< The one that serves.
    bool stopping_ = false;
    std::size_t running_ = 0;  ///< Coroutines of ours.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/tunnel/tunnel_server.hpp>
#endif
