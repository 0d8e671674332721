// SPDX-License-Identifier: MIT
// What backends of containers have in common, with an engine or without.
#pragma once

#include <memory>
#include <utility>

#include <instancer/backend/container_options.hpp>

#include "daemon/instance_service.hpp"
#include "flags/flags.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

/// What one container may use.
inline ContainerLimits container_limits(const Limits& limits)
{
    ContainerLimits out;
    out.memory = limits.memory;
    out.cpus = limits.cpus;
    out.pids = limits.pids;
    out.nofile = limits.nofile;
    out.core = limits.core;
    out.tmp = limits.tmp;
    return out;
}

/// Sets what means the same for each of these backends.
template <class Options>
void set_container_options(Options& options, const Settings& settings, const ServiceSettings& service)
{
    options.daemon = settings.daemon_name();
    options.command = service.command;
    options.stderr_to = service.stderr_to;
    options.env = service.env;
    options.client_env = service.client_env;
    options.user = service.user;
    options.secret = make_flag_secret(service);
    options.stop_grace = service.stop_grace;
    static_cast<ContainerLimits&>(options.limits) = container_limits(service.limits);
}

/// The service, with a `Backend` of `options`.
template <class Backend, class Options>
Parsed<std::unique_ptr<RunningService>> prepare_containers(const OwnedSettings& settings, ServiceContext& context,
                                                           Options options)
{
    auto privileges = container_privileges(settings.service().relaxing);
    if (!privileges)
        return wrong(privileges.error());
    options.privileges = std::move(*privileges);
    auto parts = InstanceParts::prepare(settings.service(), context);
    if (!parts)
        return wrong(parts.error());
    parts->template use_backend<Backend>(context.workers.control(), settings.service().name, std::move(options),
                                         context.log);
    return std::make_unique<InstanceService>(settings, context, std::move(*parts));
}

}  // namespace instancer::daemon
