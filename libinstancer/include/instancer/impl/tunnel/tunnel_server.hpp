// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>

#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/multiplexer.hpp>
#include <instancer/tunnel/tunnel_server.hpp>

namespace instancer {

INSTANCER_DECL TunnelServer::TunnelServer(asio::any_io_executor executor, std::string service,
                                          TunnelServerOptions options, std::vector<std::unique_ptr<Acceptor>> acceptors,
                                          Events& events)
    : executor_(std::move(executor)),
      service_(std::move(service)),
      options_(std::move(options)),
      acceptors_(std::move(acceptors)),
      events_(events),
      arrival_(executor_, Clock::time_point::max()),
      over_(executor_)
{
}

INSTANCER_DECL asio::awaitable<void> TunnelServer::run()
{
    for (const auto& acceptor : acceptors_) {
        events_.listening(service_ + " (agents)", acceptor->address());
        spawn(accept_loop(*acceptor));
    }
    check_over();
    co_await over_.wait();
}

INSTANCER_DECL void TunnelServer::stop()
{
    stopping_ = true;
    tell_unlisted(unlisted_.take_all());
    for (const auto& acceptor : acceptors_)
        acceptor->close();
    for (const auto& agent : agents_)
        agent->link->end(Error(Errc::stopping, "the server is stopping"));
    arrival_.cancel();
    check_over();
}

INSTANCER_DECL asio::awaitable<Result<Stream>> TunnelServer::open(TunnelAddress target, ClientInfo client,
                                                                  Stream* stream)
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

INSTANCER_DECL std::vector<TunnelSessionStatus> TunnelServer::sessions() const
{
    std::vector<TunnelSessionStatus> all;
    if (agent_)
        for (const auto& session : agent_->link->multiplexer().sessions())
            all.emplace_back(session->user(), session->target(), session->name());
    return all;
}

INSTANCER_DECL TunnelServer::Agent::Agent(TunnelServer& server, Stream connection, std::string called)
    : name(std::move(called)),
      link(std::make_shared<detail::TunnelLink>(TunnelMultiplexer::Role::server, server.options_.link,
                                                std::move(connection), *this)),
      introduced(server.executor_),
      server_(server)
{
    link->on_heard([this] { introduced.set(); });
}

INSTANCER_DECL asio::awaitable<Result<void>> TunnelServer::wait_for_agent(Stream* client)
{
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer deadline(executor_, options_.agent_wait);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    while (!agent_) {
        if (stopping_)
            co_return fail(Errc::stopping);
        if (is_cancelled(cancellation))
            co_return fail(Errc::cancelled);
        const auto first =
            co_await (arrival_.async_wait(as_result) || deadline.async_wait(as_result) || leaving(client));
        if (first.index() == 1 && !agent_)
            co_return fail(Errc::backend_unavailable, "no agent is connected");
        if (first.index() == 2)
            co_return fail(Errc::cancelled, "the client left");
    }
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<void> TunnelServer::leaving(Stream* client)
{
    asio::steady_timer never(executor_, Clock::time_point::max());
    if (client)
        co_await client->wait(Readiness::gone);
    else
        co_await never.async_wait(as_result);
}

INSTANCER_DECL asio::awaitable<void> TunnelServer::accept_loop(Acceptor& acceptor)
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
        co_await pause.async_wait(as_result);
    }
}

INSTANCER_DECL void TunnelServer::take_in(Accepted& accepted)
{
    const auto& peer = accepted.info().peer();
    const auto name = accepted.info().to_string();
    auto stream = std::move(accepted.stream());
    const auto now = Clock::now();
    tell_unlisted(unlisted_.take(now));
    if (accepted.refusal() || !peer || !options_.admits_agent || !options_.admits_agent(peer->address())) {
        if (unlisted_.count(now))
            events_.warning(service_, "agent " + name +
                                          " is not let in: its address is not on the list of agents; add it there "
                                          "(--agents) if it is to serve");
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

INSTANCER_DECL void TunnelServer::tell_unlisted(std::size_t count)
{
    if (count != 0)
        events_.warning(service_, "further agents that are not on the list were not let in: " + std::to_string(count));
}

INSTANCER_DECL asio::awaitable<void> TunnelServer::serve(AgentPtr agent)
{
    const auto why = co_await agent->link->run();
    events_.warning(service_, "the link to agent " + agent->name + " ended: " + why.message());
    agents_.erase(agent);
    if (agent_ == agent)
        agent_.reset();
    agent->introduced.set();
}

INSTANCER_DECL asio::awaitable<void> TunnelServer::introduce(AgentPtr agent)
{
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer limit(executor_, options_.greeting_wait);
    co_await (agent->introduced.wait() || limit.async_wait(as_result));
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

INSTANCER_DECL asio::awaitable<TunnelServer::AgentPtr> TunnelServer::answering(const Agent& displaced)
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

INSTANCER_DECL void TunnelServer::install(const AgentPtr& agent)
{
    const auto former = std::exchange(agent_, agent);
    if (former)
        former->link->displace(agent->name, Error(Errc::cancelled, "agent " + agent->name + " takes over"));
    events_.notice(service_, "agent " + agent->name + " is connected");
    arrival_.cancel();
}

}  // namespace instancer
