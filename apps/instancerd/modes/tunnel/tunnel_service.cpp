// SPDX-License-Identifier: MIT
#include "modes/tunnel/tunnel_service.hpp"

#include <algorithm>
#include <exception>

#include <asio/co_spawn.hpp>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/authenticator/shared.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/text/exception_text.hpp>
#include <instancer/tunnel/tunnel_authenticator.hpp>
#include <instancer/tunnel/tunnel_backend.hpp>

#include "daemon/instance_service.hpp"
#include "modes/tunnel/call_on.hpp"
#include "observe/traffic.hpp"

namespace instancer::daemon {

namespace {

/// A guess: operators, and connections that they forgot.
constexpr std::size_t max_control_connections = 32;

TunnelServerOptions server_options(const ServiceSettings& service, std::function<bool(const asio::ip::address&)> admits)
{
    TunnelServerOptions options;
    options.link = service.tunnel.link;
    options.second_agent = service.tunnel.second_agent;
    options.agent_wait = service.tunnel.agent_wait;
    options.admits_agent = std::move(admits);
    return options;
}

TunnelAgentOptions agent_options(const ServiceSettings& service)
{
    const auto& tunnel = service.tunnel;
    TunnelAgentOptions options;
    options.link = tunnel.link;
    options.host = tunnel.peer->name();
    options.port = tunnel.peer->port();
    options.reconnect = tunnel.reconnect;
    options.connect_timeout = tunnel.connect_timeout;
    if (!tunnel.targets.empty())
        options.admits_target = [&tunnel](const TunnelAddress& target) {
            return std::any_of(tunnel.targets.begin(), tunnel.targets.end(),
                               [&](const auto& one) { return one.holds(target); });
        };
    return options;
}

}  // namespace

Parsed<TunnelListeners> TunnelListeners::open(const ServiceSettings& service, const asio::any_io_executor& control,
                                              const asio::any_io_executor& home, InheritedSockets& inherited)
{
    const auto& tunnel = service.tunnel;
    auto files = load_tunnel_files(tunnel);
    if (!files)
        return wrong(files.error());
    TunnelListeners listeners;
    listeners.files = std::move(*files);
    if (!tunnel.database.empty()) {
        auto users = UserDatabase::open(tunnel.database);
        if (!users)
            return wrong(users.error());
        listeners.users = std::move(*users);
    }
    const auto permissions = unix_permissions_of(service);
    if (!permissions)
        return wrong(permissions.error());
    auto done = append(listeners.agents, listen_on(home, tunnel.agents_listen(), *permissions, inherited));
    if (done && tunnel.control)
        done = append(listeners.control, listen_on(control, *tunnel.control, 0600, inherited));
    for (const auto& route : listeners.files.routes)
        if (done)
            done = append(listeners.routes.emplace_back(), listen_on(control, route.listen, *permissions, inherited));
    if (!done)
        return wrong(done.error());
    return listeners;
}

class TunnelServerService::Route {
public:
    Route(TunnelServerService& owner, ServerOptions options, Workers& workers, Acceptors acceptors,
          TunnelAddress target, std::unique_ptr<Authenticator> authenticator, Events& events)
        : backend(owner.control_, owner.tunnel_, target),
          pool(owner.control_, options.service, UpstreamBackend::default_pool_options(), backend, events),
          server(workers, std::move(options), std::move(acceptors), std::move(authenticator), pool, *owner.bridge_,
                 events)
    {
    }

    TunnelBackend backend;
    InstancePool pool;
    Server server;
};

TunnelServerService::TunnelServerService(const OwnedSettings& settings, ServiceContext& context,
                                         asio::any_io_executor home, TunnelListeners listeners, AccessRules rules)
    : RunningService(settings),
      service_(settings.service()),
      name_(service_.name),
      drain_timeout_(service_.drain_timeout.value_or(settings.daemon().drain_timeout)),
      control_(context.workers.control()),
      home_(std::move(home)),
      log_(context.log),
      users_(name_, std::move(listeners.files), std::move(listeners.users), log_),
      tunnel_(home_, name_,
              server_options(service_, [this](const auto& address) { return users_.files()->admits_agent(address); }),
              std::move(listeners.agents), log_),
      bridge_(make_bridge(service_, log_, context.files)),
      bans_(keep_bans(service_, log_)),
      control_acceptors_(std::move(listeners.control)),
      commands_(name_, tunnel_, home_, users_, log_),
      control_port_(control_, commands_, max_control_connections),
      routes_over_(control_),
      tunnel_over_(control_)
{
    if (service_.needs_access_control())
        access_ = make_access_control(control_, service_, std::move(rules), context.unadmitted, bans_.get());
    for (std::size_t i = 0; i < listeners.routes.size(); ++i) {
        auto& acceptors = listeners.routes[i];
        if (access_)
            for (auto& acceptor : acceptors)
                acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
        std::unique_ptr<Authenticator> authenticator;
        if (service_.tunnel.any_user)
            authenticator = std::make_unique<SharedAuthenticator>();
        else
            authenticator = std::make_unique<TunnelAuthenticator>(
                [this](asio::ip::address address) { return users_.knows(address); });
        routes_.push_back(std::make_unique<Route>(
            *this, make_server_options(route_name(i, listeners.routes.size()), service_, context.unadmitted),
            context.workers, std::move(acceptors), users_.files()->routes[i].target, std::move(authenticator),
            context.events_of(service_)));
    }
}

TunnelServerService::~TunnelServerService() = default;

std::string TunnelServerService::route_name(std::size_t index, std::size_t count) const
{
    return count == 1 ? name_ : name_ + "-" + std::to_string(index + 1);
}

asio::awaitable<Result<void>> TunnelServerService::run(std::function<void()> serving)
{
    auto tunnel_run = tunnel_.run();
    asio::co_spawn(home_, std::move(tunnel_run),
                   [this](std::exception_ptr) { asio::post(control_, [this] { tunnel_over_.set(); }); });
    for (const auto& acceptor : control_acceptors_) {
        log_.listening(name_ + " (control)", acceptor->address());
        if (!is_local(acceptor->address()))
            log_.warning(name_, "whoever reaches " + acceptor->address() +
                                    " controls the tunnel: the control port asks for no password");
    }
    control_port_.serve(std::move(control_acceptors_));
    running_ = routes_.size();
    silent_ = routes_.size();
    for (const auto& route : routes_) {
        route->server.on_serving([this, serving] {
            if (--silent_ == 0)
                serving();
        });
        asio::co_spawn(control_, route->server.run(),
                       [this](std::exception_ptr failure, Result<void> result) { route_ended(failure, result); });
    }
    co_await routes_over_.wait();
    control_port_.close();
    co_await control_port_.wait_closed();
    asio::post(home_, [this] { tunnel_.stop(); });
    co_await tunnel_over_.wait();
    co_return result_;
}

void TunnelServerService::route_ended(std::exception_ptr failure, const Result<void>& result)
{
    if (failure)
        result_ = fail(std::make_error_code(std::errc::io_error), exception_text(failure));
    else if (!result)
        result_ = result;
    if (failure || !result)
        stop();
    if (--running_ == 0)
        routes_over_.set();
}

void TunnelServerService::drain()
{
    for (const auto& route : routes_)
        route->server.drain(drain_timeout_);
}

void TunnelServerService::stop()
{
    for (const auto& route : routes_)
        route->server.stop();
}

asio::awaitable<void> TunnelServerService::reload(HelperThreads& reader)
{
    const auto& tunnel = service_.tunnel;
    if (bans_)
        bans_->reload();
    if (access_) {
        auto read = [this] { return read_rules(service_); };
        auto call = reader.run(std::move(read));
        auto rules = co_await std::move(call);
        if (rules)
            reload_rules(*access_, std::move(*rules), service_, log_);
    }
    if (tunnel.config_file.empty() && tunnel.routing_file.empty())
        co_return;
    auto read = [&tunnel] { return load_tunnel_files(tunnel); };
    auto call = reader.run(std::move(read));
    auto files = co_await std::move(call);
    use(std::move(files));
}

void TunnelServerService::use(Parsed<TunnelFiles> files)
{
    const auto& tunnel = service_.tunnel;
    if (!files) {
        log_.warning(name_, files.error() + "; users, agents and routes stay as they were");
        return;
    }
    const auto running = users_.files()->routes;
    if (files->routes != running)
        log_.warning(name_, tunnel.routing_file + " does not hold the routes that are served; other routes take a " +
                                "restart");
    files->routes = running;
    if (!tunnel.config_file.empty())
        log_.notice(name_, counted(files->users.size(), "user") + " and " +
                               counted(files->agents.size(), "address of an agent", "addresses of agents") +
                               ", with those of " + tunnel.config_file);
    users_.replace(std::move(*files));
}

std::vector<ServicePart> TunnelServerService::parts()
{
    std::vector<ServicePart> all;
    for (std::size_t i = 0; i < routes_.size(); ++i)
        all.emplace_back(route_name(i, routes_.size()), routes_[i]->server, nullptr);
    return all;
}

asio::awaitable<std::string> TunnelServerService::condition()
{
    auto look = [this] { return std::pair(tunnel_.agent(), tunnel_.sessions().size()); };
    auto asked = call_on(home_, std::move(look));
    const auto [agent, count] = co_await std::move(asked);
    co_return (agent.empty() ? "no agent is" : "agent " + agent + " is") + " connected, " + counted(count, "session");
}

ServiceGauges TunnelServerService::gauges() const
{
    ServiceGauges gauges;
    for (const auto& route : routes_) {
        gauges.add(route->pool.load(), route->pool.traffic());
        const auto places = route->server.places();
        gauges.places.insert(gauges.places.end(), places.begin(), places.end());
    }
    if (bans_)
        gauges.bans = bans_->bans()->list().size();
    return gauges;
}

// The agent.

TunnelAgentService::TunnelAgentService(const OwnedSettings& settings, ServiceContext& context)
    : RunningService(settings),
      drain_timeout_(settings.service().drain_timeout.value_or(settings.daemon().drain_timeout)),
      control_(context.workers.control()),
      home_(context.next_home()),
      log_(context.log),
      bridge_(std::make_unique<PairBridge>()),
      agent_(home_, name(), agent_options(settings.service()), *bridge_, log_)
{
}

asio::awaitable<Result<void>> TunnelAgentService::run(std::function<void()> serving)
{
    serving();
    const auto over = std::make_shared<OneShot<std::exception_ptr>>(control_);
    auto task = agent_.run();
    asio::co_spawn(home_, std::move(task), [over](std::exception_ptr failure) { over->complete(failure); });
    const auto failure = co_await over->wait_uncancelled();
    if (failure)
        std::rethrow_exception(failure);
    co_return Result<void>();
}

void TunnelAgentService::drain()
{
    asio::post(home_, [this] { agent_.drain(drain_timeout_); });
}

void TunnelAgentService::stop()
{
    asio::post(home_, [this] { agent_.stop(); });
}

asio::awaitable<std::string> TunnelAgentService::condition()
{
    auto look = [this] { return std::pair(agent_.connected(), agent_.sessions()); };
    auto asked = call_on(home_, std::move(look));
    const auto [connected, count] = co_await std::move(asked);
    co_return (connected ? "connected to " : "not connected to ") + agent_.server() + ", " + counted(count, "session");
}

}  // namespace instancer::daemon
