// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/bridge.hpp>
#include <instancer/event_list.hpp>
#include <instancer/instance_backend.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/server.hpp>

#include "authentication/authentication.hpp"
#include "config/settings.hpp"
#include "crowd/ban_file.hpp"
#include "daemon/listen.hpp"
#include "daemon/preparation.hpp"
#include "daemon/running_service.hpp"
#include "observe/log.hpp"
#include "proof/proof_gate.hpp"
#include "reload/service_instances.hpp"

namespace instancer::daemon {

/// Who may connect to a service. `counts` also hold the connections to its predecessors; null: it has counts of its
/// own.
std::shared_ptr<AccessControl> make_access_control(const asio::any_io_executor& executor,
                                                   const ServiceSettings& service, AccessRules rules,
                                                   std::shared_ptr<UnadmittedLimit> unadmitted, const BanKeeper* bans,
                                                   std::shared_ptr<ConnectionCounts> counts = nullptr);

/// What the file of access rules holds now; none where there is no such file.
///
/// Threads: any.
std::optional<Parsed<AccessRules>> read_rules(const ServiceSettings& service);

/// Uses what was read, if it is right.
void reload_rules(AccessControl& access, Parsed<AccessRules> rules, const ServiceSettings& service, Log& log);

/// The limits of a service's sessions.
ServerOptions make_server_options(const std::string& name, const ServiceSettings& service,
                                  std::shared_ptr<UnadmittedLimit> unadmitted);

/// What an InstanceService is put together from. A mode adds its backend, and what it does not leave to the settings.
class InstanceParts {
public:
    /// Binds the addresses of `service` and reads its files.
    static Parsed<InstanceParts> prepare(const ServiceSettings& service, ServiceContext& context);

    /// Makes the backend.
    template <class Backend, class... Arguments>
    Backend& use_backend(Arguments&&... arguments)
    {
        return replace<Backend>(backend, std::forward<Arguments>(arguments)...);
    }

    /// Makes the authenticator, whatever the settings say.
    template <class Kind, class... Arguments>
    Kind& use_authenticator(Arguments&&... arguments)
    {
        return replace<Kind>(authenticator, std::forward<Arguments>(arguments)...);
    }

    Acceptors acceptors;
    std::optional<Authentication> authentication;
    AccessRules rules;
    PoolOptions pool;
    std::shared_ptr<InstanceBudget> budget;  ///< None: its instances do not count.
    std::unique_ptr<InstanceBackend> backend;
    std::unique_ptr<Authenticator> authenticator;  ///< None: as the settings say.

private:
    InstanceParts() = default;

    template <class Kind, class Role, class... Arguments>
    static Kind& replace(std::unique_ptr<Role>& role, Arguments&&... arguments)
    {
        auto made = std::make_unique<Kind>(std::forward<Arguments>(arguments)...);
        auto& kind = *made;
        role = std::move(made);
        return kind;
    }
};

/// One service as it runs: the library's objects, put together as the settings say.
///
/// Threads: the control executor of the workers.
class InstanceService final : public RunningService {
public:
    /// `parts` have a backend.
    InstanceService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts);
    ~InstanceService() override { instances_->leave(this); }

    /// Serves until drained or stopped.
    asio::awaitable<Result<void>> run(std::function<void()> serving) override;

    void drain() override;
    void stop() override;
    std::shared_ptr<ServiceInstances> instances() const override { return instances_; }

    asio::awaitable<void> reload(HelperThreads& reader) override;

    /// Instances that it shares are shown by one of those that share them.
    std::vector<ServicePart> parts() override { return {{name_, *server_, shows_instances() ? pool_ : nullptr}}; }
    BanKeeper* bans() override { return bans_.get(); }

    ServiceGauges gauges() const override;

    Server& server() noexcept { return *server_; }

private:
    /// What the files hold that are there.
    class Files;

    Files read_files() const;

    /// Those that have sessions or instances, by their hash.
    asio::awaitable<std::set<std::string>> present_owners();

    /// Puts the options, and the backend if it is another one, into force for the instances that it takes over.
    asio::awaitable<Result<void>> take_over_instances();

    /// Ends the preparations of a service that has yet to take over instances. False where it has.
    bool give_up();

    void do_retire() override { server_->retire(); }
    bool shows_instances() const { return instances_->are_shown_by(this); }

    const ServiceSettings& service_;
    const std::string& name_;
    std::chrono::milliseconds drain_timeout_;
    Log& log_;
    Authentication authentication_;
    ServiceMemory& memory_;
    PoolOptions pool_options_;
    std::unique_ptr<InstanceBackend> next_backend_;  ///< Until instances that are taken over are started by it.
    std::shared_ptr<ServiceInstances> instances_;
    InstancePool* pool_;
    std::unique_ptr<Bridge> bridge_;
    std::unique_ptr<BanKeeper> bans_;        ///< None where nobody is banned.
    std::shared_ptr<AccessControl> access_;  ///< None where everybody is let in.
    std::unique_ptr<ProofGate> proof_;       ///< None where no proof of work is asked for.
    EventList events_;                       ///< Of the server.
    std::unique_ptr<Server> server_;
    bool has_predecessor_;
    bool taking_over_ = false;  ///< From the beginning of the run until it serves.
    bool given_up_ = false;
};

}  // namespace instancer::daemon
