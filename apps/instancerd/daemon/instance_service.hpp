// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/relay/relay_authenticator.hpp>
#include <instancer/server.hpp>
#include <instancer/workers.hpp>

#include "authentication/authentication.hpp"
#include "config/settings.hpp"
#include "daemon/listen.hpp"
#include "daemon/running_service.hpp"
#include "modes/relay/relay_commands.hpp"
#include "modes/relay/relay_log.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// Who may connect to a service.
std::shared_ptr<AccessControl> make_access_control(const asio::any_io_executor& executor,
                                                   const ServiceSettings& service, AccessRules rules,
                                                   std::shared_ptr<UnadmittedLimit> unadmitted);

/// What the file of access rules holds now; none where there is no such file.
///
/// Threads: any.
std::optional<Parsed<AccessRules>> read_rules(const ServiceSettings& service);

/// Uses what was read, if it is right.
void reload_rules(AccessControl& access, Parsed<AccessRules> rules, const ServiceSettings& service, Log& log);

/// The limits of a service's sessions.
ServerOptions make_server_options(const std::string& name, const ServiceSettings& service,
                                  std::shared_ptr<UnadmittedLimit> unadmitted);

/// What a relay needs besides.
class RelayParts {
public:
    std::string authentication;
    Acceptors control;  ///< Of its control prompt.

    RelayParts() = default;
};

/// One service as it runs: the library's objects, put together as the settings say.
///
/// Threads: the control executor of the workers.
class InstanceService final : public RunningService {
public:
    /// `acceptors` listen already. `upstreams` are used if they come from a file, `relay` with Mode::relay.
    /// `settings` and `service` must outlive this.
    InstanceService(const Settings& settings, const ServiceSettings& service, Workers& workers, Acceptors acceptors,
                    Authentication authentication, AccessRules rules, std::vector<Upstream> upstreams, RelayParts relay,
                    std::shared_ptr<InstanceBudget> budget, std::shared_ptr<UnadmittedLimit> unadmitted, Log& log);

    /// Serves until drained or stopped.
    asio::awaitable<Result<void>> run(std::function<void()> serving) override;

    void drain() override { server_->drain(drain_timeout_); }
    void stop() override { server_->stop(); }

    asio::awaitable<void> reload(HelperThreads& reader) override;

    /// Logs every instance, or every upstream.
    void report() override;

    const std::string& name() const noexcept override { return name_; }

private:
    /// What the files hold that are there.
    class Files;

    Files read_files() const;
    std::unique_ptr<Authenticator> make_authenticator(std::string authentication);
    void reload_authentication(Parsed<std::string> text);
    void install_prompt(RelayBackend& relay);

    asio::awaitable<void> reload_upstreams(Parsed<std::vector<Upstream>> list);
    void note_available(bool available);
    void report_instances();
    asio::awaitable<void> report_sessions();

    const Settings& settings_;
    const ServiceSettings& service_;
    std::string name_;
    std::chrono::milliseconds drain_timeout_;
    asio::any_io_executor control_;
    Log& log_;
    Acceptors control_acceptors_;
    Authentication authentication_;
    std::unique_ptr<RelayLog> relay_log_;  ///< None without a relay, and so are those below.
    std::unique_ptr<InstanceBackend> backend_;
    UpstreamBackend* upstreams_ = nullptr;  ///< The backend, if it is one.
    std::unique_ptr<InstancePool> pool_;
    std::unique_ptr<Bridge> bridge_;
    std::shared_ptr<AccessControl> access_;  ///< None where everybody is let in.
    RelayAuthenticator* relay_authenticator_ = nullptr;
    std::unique_ptr<Server> server_;
    std::unique_ptr<RelayCommands> commands_;
    std::unique_ptr<ControlPort> control_port_;
};

}  // namespace instancer::daemon
