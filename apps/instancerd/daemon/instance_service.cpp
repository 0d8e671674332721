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
                                                   std::shared_ptr<UnadmittedLimit> unadmitted, const BanKeeper* bans,
                                                   std::shared_ptr<ConnectionCounts> counts)
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
    options.counts = std::move(counts);
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
      memory_(context.succession.memory_of(name_)),
      pool_options_(parts.pool),
      instances_(context.succession.instances()),
      bans_(keep_bans(service_, log_)),
      has_predecessor_(instances_ != nullptr)
{
    const auto control = context.workers.control();
    auto& events = context.events_of(service_);
    log_.name_owners(name_, authentication_.owners());
    if (!instances_)
        instances_ = std::make_shared<ServiceInstances>(context.workers, name_, pool_options_, std::move(parts.backend),
                                                        !context.succession.running().contains(name_), events,
                                                        std::move(parts.budget));
    else if (context.succession.restarts())
        next_backend_ = std::move(parts.backend);
    pool_ = &instances_->pool();
    bridge_ = make_bridge(service_, log_, context.files);
    if (service_.needs_access_control()) {
        access_ = make_access_control(control, service_, std::move(parts.rules), context.unadmitted, bans_.get(),
                                      memory_.connections());
        for (auto& acceptor : parts.acceptors)
            acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
    }
    auto options = make_server_options(name_, service_, context.unadmitted);
    options.session_count = memory_.session_count();
    if (service_.proof.is_asked()) {
        proof_ = std::make_unique<ProofGate>(control, service_, *pool_, context.unadmitted, events, log_);
        proof_->add_to(options, context.proof_queue());
        events_.add(*proof_);
    }
    events_.add(events);
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
    if (has_predecessor_) {
        taking_over_ = true;
        auto preparing = take_over_instances();
        auto taken = co_await std::move(preparing);
        taking_over_ = false;
        if (given_up_)
            co_return Result<void>();
        if (!taken)
            co_return taken;
    }
    instances_->enter(this);
    if (bans_)
        memory_.keep_bans(bans_->bans(), service_.crowd.ban_file.empty());
    auto running = server_->run();
    co_return co_await std::move(running);
}

asio::awaitable<Result<void>> InstanceService::take_over_instances()
{
    if (!next_backend_) {
        instances_->use(pool_options_);
        co_return Result<void>();
    }
    if (!instances_->can_use(*next_backend_))
        co_return fail(Errc::bad_request, "its instances would be of another kind; restart the daemon for that");
    auto preparing = next_backend_->prepare();
    auto prepared = co_await std::move(preparing);
    if (prepared && !given_up_)
        instances_->use(pool_options_, std::move(next_backend_));
    co_return prepared;
}

bool InstanceService::give_up()
{
    if (!taking_over_)
        return false;
    given_up_ = true;
    next_backend_->interrupt();
    return true;
}

void InstanceService::drain()
{
    if (!give_up())
        server_->drain(drain_timeout_);
}

void InstanceService::stop()
{
    if (!give_up())
        server_->stop();
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

ServiceGauges InstanceService::gauges() const
{
    ServiceGauges gauges;
    if (shows_instances())
        gauges.add(pool_->load(), pool_->traffic());
    gauges.places = server_->places();
    if (bans_)
        gauges.bans = bans_->bans()->list().size();
    return gauges;
}

}  // namespace instancer::daemon
