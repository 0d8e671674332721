// SPDX-License-Identifier: MIT
// The two ends of a reverse tunnel, put together as the settings say.
#pragma once

#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/post.hpp>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/bridge.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/server.hpp>
#include <instancer/tunnel/tunnel_agent.hpp>
#include <instancer/tunnel/tunnel_server.hpp>
#include <instancer/workers.hpp>

#include "config/settings.hpp"
#include "control/control_port.hpp"
#include "crowd/ban_file.hpp"
#include "daemon/listen.hpp"
#include "daemon/running_service.hpp"
#include "modes/tunnel/tunnel_settings.hpp"
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
class TunnelServerService final : public RunningService, private ControlCommands {
public:
    /// `settings` and `service` must outlive this. `home` is where the link lives.
    TunnelServerService(const Settings& settings, const ServiceSettings& service, Workers& workers,
                        asio::any_io_executor home, TunnelListeners listeners, AccessRules rules,
                        std::shared_ptr<UnadmittedLimit> unadmitted, Log& log);
    ~TunnelServerService() override;

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override;
    void stop() override;
    asio::awaitable<void> reload(HelperThreads& reader) override;
    void report() override;
    const std::string& name() const noexcept override { return name_; }

private:
    /// One route as it runs.
    class Route;

    /// Runs `call` where the tunnel lives.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&>> at_home(Call call)
    {
        const auto executor = co_await asio::this_coro::executor;
        const auto done = std::make_shared<OneShot<std::invoke_result_t<Call&>>>(executor);
        asio::post(home_, [done, call = std::move(call)]() mutable { done->complete(call()); });
        co_return co_await done->wait_uncancelled();
    }

    /// Runs `call(database)` on the database's thread; again and again for two seconds while another process has the
    /// database. Others' calls are served meanwhile.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&, UserDatabase&>> ask_database(Call call);

    std::shared_ptr<const TunnelFiles> files() const;
    void use(Parsed<TunnelFiles> files);
    asio::awaitable<Result<bool>> knows(asio::ip::address address);
    asio::awaitable<void> report_sessions();
    void route_ended(std::exception_ptr failure, const Result<void>& result);

    asio::awaitable<ControlReply> obey(std::string line) override;
    asio::awaitable<std::string> list_sessions();
    asio::awaitable<std::string> disconnect(std::string address);
    asio::awaitable<std::string> set_userip(std::vector<std::string> arguments);
    std::string set_loglvl(const std::vector<std::string>& arguments);

    const ServiceSettings& service_;
    const std::string name_;
    const std::chrono::milliseconds drain_timeout_;
    const asio::any_io_executor control_, home_;
    Log& log_;
    mutable std::mutex files_mutex_;
    std::shared_ptr<const TunnelFiles> files_;  ///< Under its mutex.
    std::unique_ptr<UserDatabase> database_;
    HelperThreads database_thread_{1};
    TunnelServer tunnel_;
    std::unique_ptr<Bridge> bridge_;
    std::unique_ptr<BanKeeper> bans_;  ///< None where nobody is banned.
    std::shared_ptr<AccessControl> access_;
    std::vector<std::unique_ptr<Route>> routes_;
    Acceptors control_acceptors_;
    ControlPort control_port_;
    AsyncEvent routes_over_, tunnel_over_;
    std::size_t running_ = 0;
    std::size_t silent_ = 0;  ///< Routes that take no clients in yet.
    Result<void> result_;
};

/// An agent.
class TunnelAgentService final : public RunningService {
public:
    /// `settings` and `service` must outlive this.
    TunnelAgentService(const Settings& settings, const ServiceSettings& service, asio::any_io_executor control,
                       asio::any_io_executor home, Log& log);

    asio::awaitable<Result<void>> run(std::function<void()> serving) override;
    void drain() override;
    void stop() override;
    asio::awaitable<void> reload(HelperThreads&) override { co_return; }
    void report() override;
    const std::string& name() const noexcept override { return name_; }

private:
    const std::string name_;
    const std::chrono::milliseconds drain_timeout_;
    const asio::any_io_executor control_, home_;
    Log& log_;
    std::unique_ptr<Bridge> bridge_;
    TunnelAgent agent_;
};

}  // namespace instancer::daemon
