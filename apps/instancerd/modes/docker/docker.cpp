// SPDX-License-Identifier: MIT
#include "modes/docker/docker.hpp"

#include <instancer/backend/docker_backend.hpp>

#include "daemon/instance_service.hpp"
#include "flags/flags.hpp"
#include "modes/container_limits.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

std::vector<std::string> warn(const Settings& settings, const ServiceSettings&)
{
    if (settings.has_lasting_name())
        return {};
    return {"port 0 is another port every time, so that a later start would not find containers that a crash left; "
            "give this daemon a --name"};
}

DockerOptions backend_options(const Settings& settings, const ServiceSettings& service)
{
    DockerOptions options = service.docker;
    options.daemon = settings.daemon_name();
    for (const auto& other : settings.services)
        options.services.push_back(other.name);
    options.command = service.command;
    options.pty = service.pty != TerminalMode::none;
    options.stderr_to = service.stderr_to;
    options.env = service.env;
    options.client_env = service.client_env;
    options.secret = make_flag_secret(service);
    options.user = service.user;
    static_cast<ContainerLimits&>(options.limits) = container_limits(service.limits);
    options.limits.log = service.limits.log;
    options.stop_grace = service.stop_grace;
    return options;
}

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    auto parts = InstanceParts::prepare(settings.service(), context);
    if (!parts)
        return wrong(parts.error());
    auto privileges = container_privileges(settings.service().relaxing);
    if (!privileges)
        return wrong(privileges.error());
    auto options = backend_options(settings.daemon(), settings.service());
    options.privileges = std::move(*privileges);
    parts->use_backend<DockerBackend>(context.workers.control(), settings.service().name, std::move(options),
                                      context.log);
    return std::make_unique<InstanceService>(settings, context, std::move(*parts));
}

}  // namespace

constinit const ModeEntry docker_mode{
    .mode = Mode::docker,
    .name = "docker",
    .use = "to run containers",
    .command = {.words = "docker",
                .forms = {"--listen ADDR --image IMAGE (--port N | --stdio) [options] [-- COMMAND...]"},
                .purpose =
                    "Each client gets a container of its own, which reaches neither the host nor its neighbours "
                    "nor, without --egress, the outside. Anybody who may use the Docker engine is root on its host, "
                    "and so is this daemon.",
                .examples = {"docker --listen :1337 --image chall --port 9000 --ttl 10m",
                             "docker --listen :1337 --image chall --stdio"},
                .stray = "the command to run comes last, after --",
                .scope = Scope::docker},
    .options = docker_options,
    .check = check_docker,
    .warn = warn,
    .prepare = prepare,
};

}  // namespace instancer::daemon
