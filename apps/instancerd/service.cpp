// SPDX-License-Identifier: MIT
#include "service.hpp"

#include <algorithm>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include <instancer/authenticator/open.hpp>
#include <instancer/authenticator/shared.hpp>
#include <instancer/authenticator/source_address.hpp>
#include <instancer/backend/docker_backend.hpp>
#include <instancer/backend/process_backend.hpp>
#include <instancer/backend/upstream_backend.hpp>

#include "system.hpp"
#include "tokens.hpp"
#include "traffic.hpp"

namespace instancer::daemon {

namespace {

ProcessOptions process_options(const Settings& settings, const ServiceSettings& service)
{
    ProcessOptions options;
    options.command = service.command;
    options.command.front() = settings.program(service);
    options.io = service.io;
    options.pty = service.pty;
    options.stderr_to = service.stderr_to;
    options.ports = service.ports;
    options.dir_template = service.dir_template;
    options.working_directory = service.working_directory;
    if (options.working_directory.empty())
        options.working_directory = service.dir_template.empty() ? settings.resolve(".") : "{dir}";
    options.env = service.env;
    options.client_env = service.client_env;
    // Who is not root can only stay who they are.
    if (!service.user.empty() && ::geteuid() == 0)
        if (const auto user = find_user(service.user))
            options.user.emplace(user->uid, user->gid, user->groups);
    options.limit_memory = service.limits.memory;
    options.limit_pids = service.limits.pids;
    options.limit_nofile = service.limits.nofile;
    // The default must not ask for more than we may give.
    if (rlimit ours{}; !service.has("limit-nofile") && ::getrlimit(RLIMIT_NOFILE, &ours) == 0)
        options.limit_nofile = std::min<std::uint64_t>(options.limit_nofile, ours.rlim_max);
    options.stop_grace = service.stop_grace;
    options.name = settings.daemon_name();
    return options;
}

DockerOptions docker_options(const Settings& settings, const ServiceSettings& service)
{
    DockerOptions options = service.docker;
    options.daemon = settings.daemon_name();
    for (const auto& other : settings.services)
        options.services.push_back(other.name);
    options.command = service.command;
    options.pty = service.pty;
    options.stderr_to = service.stderr_to;
    options.env = service.env;
    options.client_env = service.client_env;
    options.user = service.user;
    options.limits.memory = service.limits.memory;
    options.limits.cpus = service.limits.cpus;
    options.limits.pids = service.limits.pids;
    options.limits.nofile = service.limits.nofile;
    options.limits.tmp = service.limits.tmp;
    options.limits.log = service.limits.log;
    options.stop_grace = service.stop_grace;
    return options;
}

}  // namespace

Service::Service(const Settings& settings, const ServiceSettings& service, Workers& workers, Acceptors acceptors,
                 std::vector<Token> tokens, std::shared_ptr<InstanceBudget> budget, Log& log)
    : name_(service.name),
      tokens_file_(service.tokens),
      drain_timeout_(service.drain_timeout.value_or(settings.drain_timeout)),
      log_(log)
{
    const auto control = workers.control();
    auto pool = service.pool;
    switch (service.mode) {
    case Mode::exec:
        backend_ = std::make_unique<ProcessBackend>(control, name_, process_options(settings, service), log);
        break;
    case Mode::docker:
        backend_ = std::make_unique<DockerBackend>(control, name_, docker_options(settings, service), log);
        break;
    case Mode::forward:
        backend_ = std::make_unique<UpstreamBackend>(control, name_, service.upstream, log);
        pool = UpstreamBackend::keeps_instance();
        budget = nullptr;
        break;
    }
    pool_ = std::make_unique<InstancePool>(control, name_, pool, *backend_, log, std::move(budget));
    bridge_ = make_bridge(service, log);
    ServerOptions options(name_);
    options.auth_timeout = service.auth_timeout;
    server_ = std::make_unique<Server>(workers, std::move(options), std::move(acceptors),
                                       make_authenticator(service, std::move(tokens)), *pool_, *bridge_, log);
}

std::unique_ptr<Authenticator> Service::make_authenticator(const ServiceSettings& service, std::vector<Token> tokens)
{
    if (service.mode == Mode::forward)
        return std::make_unique<SharedAuthenticator>();
    switch (service.auth) {
    case Auth::source: return std::make_unique<SourceAddressAuthenticator>(service.source_prefix);
    case Auth::token: {
        auto authenticator = std::make_unique<TokenAuthenticator>(std::move(tokens), service.reset_id);
        tokens_ = authenticator.get();
        return authenticator;
    }
    case Auth::open: break;
    }
    return std::make_unique<OpenAuthenticator>();
}

void Service::reload_tokens()
{
    if (!tokens_)
        return;
    auto tokens = load_tokens(tokens_file_);
    if (!tokens) {
        log_.warning(name_, tokens.error() + "; the tokens stay as they were");
        return;
    }
    log_.notice(name_, "read " + std::to_string(tokens->size()) + " tokens from " + tokens_file_);
    tokens_->set_tokens(std::move(*tokens));
}

void Service::report()
{
    const auto instances = pool_->snapshot();
    if (instances.empty())
        log_.notice(name_, "no instances");
    for (const auto& instance : instances)
        log_.instance(name_, instance.name, instance.state, instance.owner, instance.age, instance.clients,
                      instance.bytes_up, instance.bytes_down);
}

}  // namespace instancer::daemon
