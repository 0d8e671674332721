// SPDX-License-Identifier: MIT
#include "daemon/instance_service.hpp"

#include <utility>

#include <instancer/acceptor/controlled_acceptor.hpp>

#include "authentication/menu/menu_stage.hpp"
#include "crowd/crowd.hpp"
#include "modes/modes.hpp"
#include "observe/traffic.hpp"

namespace instancer::daemon {

std::shared_ptr<AccessControl> make_access_control(const asio::any_io_executor& executor,
                                                   const ServiceSettings& service, AccessRules rules,
                                                   std::shared_ptr<UnadmittedLimit> unadmitted, const BanKeeper* bans)
{
    AccessControlOptions options;
    options.rules = std::move(rules);
    options.when_denied = service.when_denied;
    options.max_connections = service.max_connections;
    options.limit_name = entry_of(service.mode).connections_option;
    options.max_per_source = service.max_per_source;
    options.source_prefix = service.source_prefix;
    for (const auto& network : service.accept_proxy)
        options.proxies.add(true, network);
    options.unadmitted = std::move(unadmitted);
    options.bans = bans ? bans->bans() : nullptr;
    add_crowd(options, service);
    return std::make_shared<AccessControl>(executor, std::move(options));
}

std::optional<Parsed<AccessRules>> read_rules(const ServiceSettings& service)
{
    if (service.access_file.empty())
        return std::nullopt;
    return load_rules(service.access, service.access_file, service.time_zone);
}

void reload_rules(AccessControl& access, Parsed<AccessRules> rules, const ServiceSettings& service, Log& log)
{
    if (!rules) {
        log.warning(service.name, rules.error() + "; the access rules stay as they were");
        return;
    }
    log.notice(service.name, counted(rules->size(), "access rule") + ", with those of " + service.access_file);
    access.set_rules(std::move(*rules));
}

ServerOptions make_server_options(const std::string& name, const ServiceSettings& service,
                                  std::shared_ptr<UnadmittedLimit> unadmitted)
{
    ServerOptions options(name);
    options.auth_timeout = service.auth_timeout;
    options.session_idle = service.session_idle;
    options.half_close_timeout = service.half_close_timeout;
    options.session_timeout = service.session_timeout;
    options.source_prefix = service.source_prefix;
    options.unadmitted = std::move(unadmitted);
    add_crowd(options, service);
    return options;
}

Parsed<InstanceParts> InstanceParts::prepare(const ServiceSettings& service, ServiceContext& context)
{
    InstanceParts parts;
    auto acceptors = listen_on_all(context.workers.control(), service, context.inherited);
    if (!acceptors)
        return wrong(acceptors.error());
    parts.acceptors = std::move(*acceptors);
    auto authentication = open_authentication(service, context.log);
    if (!authentication)
        return wrong(authentication.error());
    parts.authentication.emplace(std::move(*authentication));
    auto rules = load_rules(service.access, service.access_file, service.time_zone);
    if (!rules)
        return wrong(rules.error());
    parts.rules = std::move(*rules);
    parts.pool = service.pool;
    parts.budget = context.budget;
    return parts;
}

InstanceService::InstanceService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts)
    : RunningService(settings),
      service_(settings.service()),
      name_(service_.name),
      drain_timeout_(service_.drain_timeout.value_or(settings.daemon().drain_timeout)),
      log_(context.log),
      authentication_(std::move(*parts.authentication)),
      backend_(std::move(parts.backend)),
      bans_(keep_bans(service_, log_))
{
    const auto control = context.workers.control();
    log_.name_owners(name_, authentication_.owners());
    pool_ = std::make_unique<InstancePool>(control, name_, parts.pool, *backend_, log_, std::move(parts.budget));
    bridge_ = make_bridge(service_, log_);
    if (service_.needs_access_control()) {
        access_ = make_access_control(control, service_, std::move(parts.rules), context.unadmitted, bans_.get());
        for (auto& acceptor : parts.acceptors)
            acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
    }
    auto options = make_server_options(name_, service_, context.unadmitted);
    if (service_.proof.is_asked()) {
        proof_ = std::make_unique<ProofGate>(control, service_, *pool_, context.unadmitted, log_);
        proof_->add_to(options, context.proof_queue());
        events_.add(*proof_);
    }
    // Last: what a line of it tells counts already.
    events_.add(log_);
    if (service_.authentication.menu)
        options.identified_stages.push_back(std::make_shared<MenuStage>(
            name_, control, *pool_, service_.pool.extension != PoolOptions::Duration::zero()));
    auto authenticator = parts.authenticator ? std::move(parts.authenticator) : authentication_.take_authenticator();
    server_ = std::make_unique<Server>(context.workers, std::move(options), std::move(parts.acceptors),
                                       std::move(authenticator), *pool_, *bridge_, events_);
}

asio::awaitable<Result<void>> InstanceService::run(std::function<void()> serving)
{
    server_->on_serving(std::move(serving));
    return server_->run();
}

class InstanceService::Files {
public:
    std::optional<Parsed<Authentication::Reading>> clients;
    std::optional<Parsed<AccessRules>> rules;
    std::optional<Parsed<SignatureBypass>> bypass;

    Files() = default;
};

InstanceService::Files InstanceService::read_files() const
{
    Files files;
    files.clients = authentication_.read();
    files.rules = read_rules(service_);
    if (proof_)
        files.bypass = proof_->read_bypass();
    return files;
}

asio::awaitable<void> InstanceService::reload(HelperThreads& reader)
{
    if (bans_)
        bans_->reload();
    auto read = [this] { return read_files(); };
    auto call = reader.run(std::move(read));
    auto files = co_await std::move(call);
    auto look = present_owners();
    const auto present = co_await std::move(look);
    if (files.clients)
        reload_authentication(authentication_, std::move(*files.clients), present, service_, *pool_, log_);
    if (access_ && files.rules)
        reload_rules(*access_, std::move(*files.rules), service_, log_);
    if (files.bypass)
        proof_->use_bypass(std::move(*files.bypass));
}

asio::awaitable<std::set<std::string>> InstanceService::present_owners()
{
    const auto sessions = co_await server_->snapshot();
    std::set<std::string> owners;
    for (const auto& session : sessions)
        owners.insert(session.owner);
    for (const auto& instance : pool_->snapshot())
        owners.insert(instance.owner);
    co_return owners;
}

}  // namespace instancer::daemon
