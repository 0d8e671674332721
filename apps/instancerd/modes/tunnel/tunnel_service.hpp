// SPDX-License-Identifier: MIT
// The two ends of a reverse tunnel, put together as the settings say.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/post.hpp>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/bridge.hpp>
#include <instancer/server.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>
#include <instancer/tunnel/tunnel_server.hpp>

#include "config/settings.hpp"
#include "control/control_port.hpp"
#include "crowd/ban_file.hpp"
#include "daemon/listen.hpp"
#include "daemon/preparation.hpp"
#include "daemon/running_service.hpp"
#include "modes/tunnel/tunnel_commands.hpp"
#include "modes/tunnel/tunnel_settings.hpp"
#include "modes/tunnel/tunnel_users.hpp"
#include "modes/tunnel/user_database.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// The sockets on which the server of a tunnel listens, and what it has read.
class TunnelListeners {
public:
    /// Opens all of them. `home` is where the link will live.
    static Parsed<TunnelListeners> open(const ServiceSettings& service, const asio::any_io_executor& control,
                                        const asio::any_io_executor& home, InheritedSockets& inherited);

    TunnelFiles files;
    std::unique_ptr<UserDatabase> users;  ///< None without a database.
    Acceptors agents, control;
    std::vector<Acceptors> routes;  ///< As in `files`.

    TunnelListeners() = default;
};

/// A server with its routes and its control port.
class TunnelServerService final : public RunningService {
public:
    /// `home` is where the link lives.
    TunnelServerService(const OwnedSettings& settings, ServiceContext& context, asio::any_io_executor home,
                        TunnelListeners listeners, AccessRules rules);
    ~TunnelServerService() override;

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override;
    void stop() override;
    asio::awaitable<void> reload(HelperThreads& reader) override;
    ServiceGauges gauges() const override;
    std::vector<ServicePart> parts() override;
    BanKeeper* bans() override { return bans_.get(); }

    /// Whether an agent is connected.
    asio::awaitable<std::string> condition() override;

private:
    /// One route as it runs.
    class Route;

    /// Sessions are numbered in each server, so that each needs a name of its own.
    std::string route_name(std::size_t index, std::size_t count) const;

    void use(Parsed<TunnelFiles> files);
    void route_ended(std::exception_ptr failure, const Result<void>& result);

    const ServiceSettings& service_;
    const std::string& name_;
    const std::chrono::milliseconds drain_timeout_;
    const asio::any_io_executor control_, home_;
    Log& log_;
    TunnelUsers users_;
    TunnelServer tunnel_;
    std::unique_ptr<Bridge> bridge_;
    std::unique_ptr<BanKeeper> bans_;  ///< None where nobody is banned.
    std::shared_ptr<AccessControl> access_;
    std::vector<std::unique_ptr<Route>> routes_;
    Acceptors control_acceptors_;
    TunnelCommands commands_;
    ControlPort control_port_;
    AsyncEvent routes_over_, tunnel_over_;
    std::size_t running_ = 0;
    std::size_t silent_ = 0;  ///< Routes that take no clients in yet.
    Result<void> result_;
};

/// An agent.
class TunnelAgentService final : public RunningService {
public:
    TunnelAgentService(const OwnedSettings& settings, ServiceContext& context);

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override;
    void stop() override;
    asio::awaitable<void> reload(HelperThreads&) override { co_return; }

    /// Whether it is connected to its server.
    asio::awaitable<std::string> condition() override;

private:
    const std::chrono::milliseconds drain_timeout_;
    const asio::any_io_executor control_, home_;
    Log& log_;
    std::unique_ptr<Bridge> bridge_;
    TunnelAgent agent_;
};

}  // namespace instancer::daemon
