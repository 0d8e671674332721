// SPDX-License-Identifier: MIT
#include "daemon/instance_service.hpp"

#include <exception>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/authenticator/shared.hpp>

#include "authentication/menu/menu_stage.hpp"
#include "control/control_terminal.hpp"
#include "daemon/system.hpp"
#include "files/upstreams.hpp"
#include "modes/modes.hpp"
#include "modes/relay/relay.hpp"
#include "observe/traffic.hpp"

namespace instancer::daemon {

std::shared_ptr<AccessControl> make_access_control(const asio::any_io_executor& executor,
                                                   const ServiceSettings& service, AccessRules rules,
                                                   std::shared_ptr<UnadmittedLimit> unadmitted)
{
    AccessControlOptions options;
    options.rules = std::move(rules);
    options.when_denied = service.when_denied;
    options.max_connections = service.max_connections;
    if (service.mode == Mode::relay)
        options.limit_name = "max-total";
    options.max_per_source = service.max_per_source;
    options.source_prefix = service.source_prefix;
    for (const auto& network : service.accept_proxy)
        options.proxies.add(true, network);
    options.unadmitted = std::move(unadmitted);
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
    return options;
}

InstanceService::InstanceService(const Settings& settings, const ServiceSettings& service, Workers& workers,
                                 Acceptors acceptors, Authentication authentication, AccessRules rules,
                                 std::vector<Upstream> upstreams, RelayParts relay,
                                 std::shared_ptr<InstanceBudget> budget, std::shared_ptr<UnadmittedLimit> unadmitted,
                                 Log& log)
    : settings_(settings),
      service_(service),
      name_(service.name),
      drain_timeout_(service.drain_timeout.value_or(settings.drain_timeout)),
      control_(workers.control()),
      log_(log),
      control_acceptors_(std::move(relay.control)),
      authentication_(std::move(authentication))
{
    const auto control = control_;
    auto pool = service.pool;
    RelayBackend* channels = nullptr;
    switch (service.mode) {
    case Mode::exec:
    case Mode::docker: backend_ = entry_of(service.mode).make_backend(control, settings, service, log); break;
    case Mode::forward: {
        auto options = service.upstream;
        if (!service.upstreams_file.empty())
            options.upstreams = std::move(upstreams);
        auto backend = std::make_unique<UpstreamBackend>(control, name_, std::move(options), log);
        if (service.when_down == WhenDown::close_listener)
            backend->on_available([this](bool available) { note_available(available); });
        upstreams_ = backend.get();
        backend_ = std::move(backend);
        pool = UpstreamBackend::default_pool_options();
        budget = nullptr;
        break;
    }
    case Mode::relay:
        relay_log_ = std::make_unique<RelayLog>(name_, service.relay.verbosity, log);
        channels = new RelayBackend(workers, service.relay.channels, *relay_log_);
        backend_.reset(channels);
        pool = RelayBackend::default_pool_options();
        budget = nullptr;
        break;
    case Mode::tunnel_server:
    case Mode::tunnel_agent: break;  // Services of their own.
    }
    log.name_owners(name_, authentication_.owners());
    pool_ = std::make_unique<InstancePool>(control, name_, pool, *backend_, log, std::move(budget));
    bridge_ = make_bridge(service, log);
    if (service.needs_access_control()) {
        access_ = make_access_control(control, service, std::move(rules), unadmitted);
        for (auto& acceptor : acceptors)
            acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
    }
    auto options = make_server_options(name_, service, std::move(unadmitted));
    if (service.authentication.menu)
        options.identified_stages.push_back(std::make_shared<MenuStage>(name_, control, *pool_));
    server_ = std::make_unique<Server>(workers, std::move(options), std::move(acceptors),
                                       make_authenticator(std::move(relay.authentication)), *pool_, *bridge_, log);
    if (channels)
        install_prompt(*channels);
}

asio::awaitable<Result<void>> InstanceService::run(std::function<void()> serving)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    server_->on_serving(std::move(serving));
    if (control_port_) {
        for (const auto& acceptor : control_acceptors_)
            log_.notice(name_, "the control prompt is on " + acceptor->address());
        control_port_->serve(std::move(control_acceptors_));
    }
    auto result = co_await server_->run();
    if (control_port_) {
        control_port_->close();
        co_await control_port_->wait_closed();
    }
    co_return result;
}

void InstanceService::install_prompt(RelayBackend& relay)
{
    const bool at_terminal = settings_.file.empty() && control_acceptors_.empty();
    auto terminal = at_terminal ? open_terminal(control_) : Stream();
    if (control_acceptors_.empty() && !terminal)
        return;
    auto set_level = [this](unsigned verbosity) {
        // In a configuration the log belongs to other services, too.
        if (settings_.file.empty())
            log_.set_level(log_level_of(verbosity));
    };
    commands_ = std::make_unique<RelayCommands>(*server_, relay, *relay_log_, std::move(set_level), [this] { stop(); });
    control_port_ = std::make_unique<ControlPort>(control_, *commands_, 1);
    if (terminal)
        control_port_->serve(std::move(terminal));
}

std::unique_ptr<Authenticator> InstanceService::make_authenticator(std::string authentication)
{
    if (service_.mode == Mode::relay) {
        auto authenticator = std::make_unique<RelayAuthenticator>(std::move(authentication), service_.relay.greeting);
        relay_authenticator_ = authenticator.get();
        return authenticator;
    }
    if (service_.mode == Mode::forward)
        return std::make_unique<SharedAuthenticator>();
    return authentication_.take_authenticator();
}

class InstanceService::Files {
public:
    std::optional<Parsed<Authentication::Reading>> clients;
    std::optional<Parsed<AccessRules>> rules;
    std::optional<Parsed<std::vector<Upstream>>> upstreams;
    std::optional<Parsed<std::string>> authentication;

    Files() = default;
};

InstanceService::Files InstanceService::read_files() const
{
    Files files;
    files.clients = authentication_.read();
    files.rules = read_rules(service_);
    if (!service_.upstreams_file.empty())
        files.upstreams = load_upstreams(settings_, service_.upstreams_file);
    if (relay_authenticator_ && !service_.relay.auth_file.empty())
        files.authentication = load_authentication(service_.relay);
    return files;
}

asio::awaitable<void> InstanceService::reload(HelperThreads& reader)
{
    auto read = [this] { return read_files(); };
    auto call = reader.run(std::move(read));
    auto files = co_await std::move(call);
    if (files.clients)
        daemon::reload_authentication(authentication_, std::move(*files.clients), service_, *pool_, log_);
    if (access_ && files.rules)
        reload_rules(*access_, std::move(*files.rules), service_, log_);
    if (files.authentication)
        reload_authentication(std::move(*files.authentication));
    if (files.upstreams) {
        auto task = reload_upstreams(std::move(*files.upstreams));
        co_await std::move(task);
    }
}

void InstanceService::reload_authentication(Parsed<std::string> text)
{
    if (!text) {
        log_.warning(name_, text.error() + "; the authentication string stays as it was");
        return;
    }
    log_.notice(name_, "read the authentication string from " + service_.relay.auth_file);
    relay_authenticator_->set_authentication(std::move(*text));
}

asio::awaitable<void> InstanceService::reload_upstreams(Parsed<std::vector<Upstream>> list)
{
    const auto& file = service_.upstreams_file;
    std::string error;
    std::size_t count = 0;
    if (list) {
        count = list->size();
        auto task = upstreams_->set_upstreams(std::move(*list));
        const auto result = co_await std::move(task);
        if (!result)
            error = file + ": " + result.error().message();
    } else {
        error = list.error();
    }
    if (error.empty())
        log_.notice(name_, "read " + counted(count, "upstream") + " from " + file);
    else
        log_.warning(name_, error + "; the upstreams stay as they were");
}

void InstanceService::note_available(bool available)
{
    if (available) {
        server_->resume();
        log_.notice(name_, "an upstream works again");
    } else {
        server_->pause();
        log_.warning(name_, "no upstream works; the listeners are closed until one does");
    }
}

void InstanceService::report()
{
    if (upstreams_) {
        for (const auto& upstream : upstreams_->snapshot())
            log_.upstream(name_, upstream);
        if (const auto waiting = upstreams_->waiting(); waiting > 0)
            log_.notice(name_, counted(waiting, "client") + (waiting == 1 ? " waits" : " wait") + " for an upstream");
    }
    report_instances();
    asio::co_spawn(control_, report_sessions(), asio::detached);
}

void InstanceService::report_instances()
{
    const auto instances = pool_->snapshot();
    if (instances.empty())
        log_.notice(name_, "no instances");
    for (const auto& instance : instances)
        log_.instance(name_, instance.name, instance.state, instance.owner, instance.age, instance.clients,
                      instance.bytes_up, instance.bytes_down);
}

asio::awaitable<void> InstanceService::report_sessions()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto sessions = co_await server_->snapshot();
    for (const auto& session : sessions)
        log_.session(session);
}

}  // namespace instancer::daemon
