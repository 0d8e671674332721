// SPDX-License-Identifier: MIT
#include "modes/docker/docker.hpp"

#include <set>
#include <string>
#include <utility>

#include <instancer/backend/docker_backend.hpp>

#include "modes/container_backend.hpp"

namespace instancer::daemon {

namespace {

std::vector<std::string> warn(const Settings& settings, const ServiceSettings&)
{
    if (settings.has_lasting_name())
        return {};
    return {"port 0 is another port every time, so that a later start would not find containers that a crash left; "
            "give this daemon a --name"};
}

DockerOptions backend_options(const Settings& settings, const ServiceSettings& service,
                              const std::set<std::string>& running)
{
    DockerOptions options = service.docker;
    set_container_options(options, settings, service);
    for (const auto& other : settings.services)
        options.services.push_back(other.name);
    // The containers of a service that is not in the configuration any more are its own until it has ended.
    options.services.insert(options.services.end(), running.begin(), running.end());
    options.pty = service.pty != TerminalMode::none;
    options.limits.log = service.limits.log;
    return options;
}

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    auto options = backend_options(settings.daemon(), settings.service(), context.succession.running());
    return prepare_containers<DockerBackend>(settings, context, std::move(options));
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
