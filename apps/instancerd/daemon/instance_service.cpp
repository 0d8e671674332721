// SPDX-License-Identifier: MIT
#include "daemon/instance_service.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <instancer/acceptor/controlled_acceptor.hpp>
#include <instancer/authenticator/open.hpp>
#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/source_address.hpp>
#include <instancer/authenticator/token.hpp>

#include "files/tokens.hpp"
#include "modes/modes.hpp"
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
    options.limit_name = entry_of(service.mode).connections_option;
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

Parsed<InstanceParts> InstanceParts::prepare(const ServiceSettings& service, ServiceContext& context)
{
    InstanceParts parts;
    auto acceptors = listen_on_all(context.workers.control(), service, context.inherited);
    if (!acceptors)
        return wrong(acceptors.error());
    parts.acceptors = std::move(*acceptors);
    if (has_tokens(service.auth)) {
        auto tokens = load_tokens(service.tokens, service.auth);
        if (!tokens)
            return wrong(tokens.error());
        parts.tokens = std::move(*tokens);
    }
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
      backend_(std::move(parts.backend))
{
    const auto control = context.workers.control();
    pool_ = std::make_unique<InstancePool>(control, name_, parts.pool, *backend_, log_, std::move(parts.budget));
    bridge_ = make_bridge(service_, log_);
    if (service_.needs_access_control()) {
        access_ = make_access_control(control, service_, std::move(parts.rules), context.unadmitted);
        for (auto& acceptor : parts.acceptors)
            acceptor = std::make_unique<ControlledAcceptor>(std::move(acceptor), access_);
    }
    owners_ = owners_of(name_, parts.tokens);
    auto authenticator =
        parts.authenticator ? std::move(parts.authenticator) : make_authenticator(service_, std::move(parts.tokens));
    server_ = std::make_unique<Server>(context.workers, make_server_options(name_, service_, context.unadmitted),
                                       std::move(parts.acceptors), std::move(authenticator), *pool_, *bridge_, log_);
}

asio::awaitable<Result<void>> InstanceService::run(std::function<void()> serving)
{
    server_->on_serving(std::move(serving));
    return server_->run();
}

std::unique_ptr<Authenticator> InstanceService::make_authenticator(const ServiceSettings& service,
                                                                   std::vector<std::string> tokens)
{
    switch (service.auth) {
    case Auth::source: return std::make_unique<SourceAddressAuthenticator>(service.source_prefix);
    case Auth::token: {
        const auto to_tokens = [](const std::vector<std::string>& all) {
            return std::vector<Token>(all.begin(), all.end());
        };
        auto authenticator = std::make_unique<TokenAuthenticator>(to_tokens(tokens), service.reset_id);
        set_tokens_ = [to_tokens, &by = *authenticator](const auto& all) { by.set_tokens(to_tokens(all)); };
        return authenticator;
    }
    case Auth::prompt: {
        auto authenticator = std::make_unique<PromptAuthenticator>(std::move(tokens), service.prompt);
        set_tokens_ = [&by = *authenticator](auto all) { by.set_tokens(std::move(all)); };
        return authenticator;
    }
    case Auth::open: break;
    }
    return std::make_unique<OpenAuthenticator>();
}

class InstanceService::Files {
public:
    std::optional<Parsed<std::vector<std::string>>> tokens;
    std::string remark;  ///< On the tokens.
    std::optional<Parsed<AccessRules>> rules;

    Files() = default;
};

InstanceService::Files InstanceService::read_files() const
{
    Files files;
    if (set_tokens_) {
        files.tokens = load_tokens(service_.tokens, service_.auth);
        files.remark = remark_on_tokens(service_.tokens, service_.auth);
    }
    files.rules = read_rules(service_);
    return files;
}

asio::awaitable<void> InstanceService::reload(HelperThreads& reader)
{
    auto read = [this] { return read_files(); };
    auto call = reader.run(std::move(read));
    auto files = co_await std::move(call);
    if (files.tokens)
        reload_tokens(std::move(*files.tokens), files.remark);
    if (access_ && files.rules)
        reload_rules(*access_, std::move(*files.rules), service_, log_);
}

void InstanceService::reload_tokens(Parsed<std::vector<std::string>> tokens, const std::string& remark)
{
    if (!tokens) {
        log_.warning(name_, tokens.error() + "; the tokens stay as they were");
        return;
    }
    auto owners = owners_of(name_, *tokens);
    std::set<std::string> removed;
    std::set_difference(owners_.begin(), owners_.end(), owners.begin(), owners.end(),
                        std::inserter(removed, removed.end()));
    owners_ = std::move(owners);
    const auto read = "read " + counted(tokens->size(), "token") + " from " + service_.tokens;
    // Before instances end: nobody may come back for another one.
    set_tokens_(std::move(*tokens));
    log_.notice(name_, read + deal_with_removed(removed));
    if (!remark.empty())
        log_.warning(name_, remark);
}

std::string InstanceService::deal_with_removed(const std::set<std::string>& owners)
{
    if (owners.empty())
        return {};
    const auto instances = pool_->snapshot();
    const auto left = std::count_if(instances.begin(), instances.end(), [&](const auto& instance) {
        return instance.state != "stopping" && owners.count(instance.owner) != 0;
    });
    const bool end = service_.on_removed == OnRemoved::end;
    if (end)
        for (const auto& owner : owners)
            if (Digest digest; Digest::parse(owner, digest))
                pool_->reset_owner(digest);
    auto text = ", " + std::to_string(owners.size()) + " removed";
    if (left == 0)
        return text;
    text += ", " + counted(static_cast<std::size_t>(left), "instance");
    text += owners.size() == 1 ? " of it" : " of them";
    return text + (end ? left == 1 ? " ends" : " end" : left == 1 ? " goes on" : " go on");
}

asio::awaitable<void> InstanceService::report()
{
    report_instances();
    const auto sessions = co_await server_->snapshot();
    for (const auto& session : sessions)
        log_.session(session);
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

}  // namespace instancer::daemon
