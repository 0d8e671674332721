// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/signal_set.hpp>

#include <instancer/acceptor/listen_remedy.hpp>
#include <instancer/acceptor/socket_acceptor.hpp>
#include <instancer/authenticator/open.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/event_list.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/server.hpp>
#include <instancer/service.hpp>
#include <instancer/text/exception_text.hpp>
#include <instancer/workers.hpp>

namespace instancer {

namespace detail {

/// Takes to a running server what any thread asks of it. What is asked before it runs is kept until then.
class ServerRemote {
public:
    enum class Wish { nothing, drain, stop };

    void ask(Wish wish)
    {
        const std::lock_guard lock(mutex_);
        wish_ = std::max(wish_, wish);
        if (server_ != nullptr)
            pass_on(wish);
    }

    void attach(const asio::any_io_executor& control, Server& server, std::chrono::steady_clock::duration drain_timeout)
    {
        const std::lock_guard lock(mutex_);
        control_ = control;
        server_ = &server;
        drain_timeout_ = drain_timeout;
        pass_on(wish_);
    }

    void detach()
    {
        const std::lock_guard lock(mutex_);
        server_ = nullptr;
        control_ = {};
    }

private:
    void pass_on(Wish wish)
    {
        asio::post(control_, [server = server_, limit = drain_timeout_, wish] {
            if (wish == Wish::stop)
                server->stop();
            else if (wish == Wish::drain)
                server->drain(limit);
        });
    }

    std::mutex mutex_;
    Wish wish_ = Wish::nothing;
    asio::any_io_executor control_;
    Server* server_ = nullptr;  ///< While it runs.
    std::chrono::steady_clock::duration drain_timeout_{0};
};

/// Drains a server at the first SIGINT or SIGTERM, and stops it at the second.
class TerminationSignals {
public:
    TerminationSignals(const asio::any_io_executor& control, ServerRemote& remote)
        : remote_(remote), signals_(control, SIGINT, SIGTERM)
    {
        // A client or an instance that left is an error code, not a signal.
        std::signal(SIGPIPE, SIG_IGN);
        wait(ServerRemote::Wish::drain);
    }

private:
    void wait(ServerRemote::Wish wish)
    {
        signals_.async_wait([this, wish](const asio::error_code& error, int) {
            if (error)
                return;
            remote_.ask(wish);
            wait(ServerRemote::Wish::stop);
        });
    }

    ServerRemote& remote_;
    asio::signal_set signals_;
};

}  // namespace detail

class Service::Parts {
public:
    explicit Parts(std::string service) : name(std::move(service)), server_options(name) {}

    Result<void> run();

    const std::string name;
    std::vector<MakeAcceptor> acceptors;
    MakeBackend backend;
    std::unique_ptr<Authenticator> authenticator = std::make_unique<OpenAuthenticator>();
    std::unique_ptr<Bridge> bridge = std::make_unique<PairBridge>();
    EventList events;
    PoolOptions pool_options;
    ServerOptions server_options;
    std::size_t workers = std::thread::hardware_concurrency();
    Duration drain_timeout = std::chrono::seconds(30);
    bool handles_signals = true;
    bool has_run = false;
    detail::ServerRemote remote;

private:
    Result<void> check_complete();
    Result<std::vector<std::unique_ptr<Acceptor>>> listen(const asio::any_io_executor& control) const;
    Result<void> serve(Workers& threads, Server& server);
};

INSTANCER_DECL Result<void> Service::Parts::check_complete()
{
    const auto wrong = [this](const char* what) { return fail(Errc::bad_request, "service " + name + ": " + what); };
    if (std::exchange(has_run, true))
        return wrong("run() was called before; make another Service");
    if (acceptors.empty())
        return wrong("nobody can connect; call listen() before run()");
    if (!backend)
        return wrong("there are no instances to serve; call backend() before run()");
    return {};
}

INSTANCER_DECL Result<std::vector<std::unique_ptr<Acceptor>>>
Service::Parts::listen(const asio::any_io_executor& control) const
{
    std::vector<std::unique_ptr<Acceptor>> open;
    for (const auto& make : acceptors) {
        auto acceptor = make(control);
        if (!acceptor)
            return fail(std::move(acceptor.error()));
        open.push_back(std::move(*acceptor));
    }
    return open;
}

INSTANCER_DECL Result<void> Service::Parts::serve(Workers& threads, Server& server)
{
    const auto control = threads.control();
    std::optional<detail::TerminationSignals> signals;
    if (handles_signals)
        signals.emplace(control, remote);
    Result<void> served;
    asio::co_spawn(control, server.run(), [&](const std::exception_ptr& thrown, Result<void> result) {
        served = std::move(result);
        if (thrown)
            served = fail(std::make_error_code(std::errc::io_error), exception_text(thrown));
        threads.stop();
    });
    remote.attach(control, server, drain_timeout);
    threads.run();
    remote.detach();
    return served;
}

INSTANCER_DECL Result<void> Service::Parts::run()
{
    if (auto complete = check_complete(); !complete)
        return complete;
    Workers threads(workers);
    const auto control = threads.control();
    auto open = listen(control);
    if (!open)
        return fail(std::move(open.error()));
    const auto made = backend(control, name, events);
    InstancePool pool(control, name, pool_options, *made, events);
    Server server(threads, server_options, std::move(*open), std::move(authenticator), pool, *bridge, events);
    return serve(threads, server);
}

INSTANCER_DECL Service::Service(std::string name) : parts_(std::make_unique<Parts>(std::move(name))) {}

INSTANCER_DECL Service::~Service() = default;

INSTANCER_DECL Service& Service::listen(const asio::ip::tcp::endpoint& address)
{
    return acceptor([address](const asio::any_io_executor& control) {
        auto opened = listen_tcp(control, address);
        if (opened)
            return opened;
        const auto& code = opened.error().code();
        const std::string remedy(listen_remedy(code));
        const auto advice = remedy.empty() ? remedy : " (" + remedy + ")";
        opened = fail(code, "cannot listen on " + ClientInfo::format(address) + advice);
        return opened;
    });
}

INSTANCER_DECL Service& Service::acceptor(MakeAcceptor make)
{
    parts_->acceptors.push_back(std::move(make));
    return *this;
}

INSTANCER_DECL Service& Service::backend(MakeBackend make)
{
    parts_->backend = std::move(make);
    return *this;
}

INSTANCER_DECL Service& Service::backend(std::unique_ptr<InstanceBackend> made)
{
    const auto shared = std::make_shared<std::unique_ptr<InstanceBackend>>(std::move(made));
    return backend([shared](const auto&, const auto&, auto&) { return std::move(*shared); });
}

INSTANCER_DECL Service& Service::authenticator(std::unique_ptr<Authenticator> authenticator)
{
    parts_->authenticator = std::move(authenticator);
    return *this;
}

INSTANCER_DECL Service& Service::bridge(std::unique_ptr<Bridge> bridge)
{
    parts_->bridge = std::move(bridge);
    return *this;
}

INSTANCER_DECL Service& Service::observe(Events& observer)
{
    parts_->events.add(observer);
    return *this;
}

INSTANCER_DECL Service& Service::pool_options(const PoolOptions& options)
{
    parts_->pool_options = options;
    return *this;
}

INSTANCER_DECL Service& Service::server_options(const ServerOptions& options)
{
    parts_->server_options = options;
    parts_->server_options.service = parts_->name;
    return *this;
}

INSTANCER_DECL Service& Service::workers(std::size_t count)
{
    parts_->workers = count;
    return *this;
}

INSTANCER_DECL Service& Service::drain_timeout(Duration limit)
{
    parts_->drain_timeout = limit;
    return *this;
}

INSTANCER_DECL Service& Service::handle_signals(bool value)
{
    parts_->handles_signals = value;
    return *this;
}

INSTANCER_DECL Result<void> Service::run() { return parts_->run(); }

INSTANCER_DECL void Service::drain() { parts_->remote.ask(detail::ServerRemote::Wish::drain); }

INSTANCER_DECL void Service::stop() { parts_->remote.ask(detail::ServerRemote::Wish::stop); }

}  // namespace instancer
