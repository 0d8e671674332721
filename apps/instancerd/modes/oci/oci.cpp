// SPDX-License-Identifier: MIT
#include "modes/oci/oci.hpp"

#include <instancer/backend/oci_backend.hpp>

#include "daemon/instance_service.hpp"
#include "flags/flags.hpp"
#include "modes/container_limits.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

OciOptions backend_options(const Settings& settings, const ServiceSettings& service)
{
    OciOptions options;
    options.daemon = settings.daemon_name();
    options.image.root = service.oci.root;
    options.command = service.command;
    options.runtime = service.oci.runtime;
    options.init = settings.init_program();
    options.io = service.docker.io;
    options.port = service.docker.port;
    options.pty = service.pty;
    options.stderr_to = service.stderr_to;
    options.env = service.env;
    options.client_env = service.client_env;
    options.user = service.user;
    options.limits = container_limits(service.limits);
    options.read_only = service.docker.read_only;
    options.tmpfs = service.docker.tmpfs;
    options.mounts = service.docker.mounts;
    options.secret = make_flag_secret(service);
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
    if (const auto& oci = settings.service().oci; !oci.archive.empty())
        options.find_image = [oci, &context, name = settings.service().name] {
            context.log.notice(name, "reading the archive " + oci.archive);
            return context.images.import(oci.archive, oci.store);
        };
    parts->use_backend<OciBackend>(context.workers.control(), settings.service().name, std::move(options), context.log);
    return std::make_unique<InstanceService>(settings, context, std::move(*parts));
}

}  // namespace

constinit const ModeEntry oci_mode{
    .mode = Mode::oci,
    .name = "oci",
    .use = "to run containers without an engine",
    .command = {.words = "oci",
                .forms = {"--listen ADDR --rootfs DIR (--port N | --stdio) [options] -- COMMAND [ARG...]",
                          "--listen ADDR --archive FILE [--port N | --stdio] [options] [-- COMMAND [ARG...]]"},
                .purpose =
                    "Each client gets a container of its own, by a container runtime such as crun and without an "
                    "engine. It reaches neither the host nor its neighbours nor the outside. It takes "
                    "root.",
                .examples = {"oci --listen :1337 --rootfs ./rootfs --stdio -- /challenge",
                             "oci --listen :1337 --archive image.tar --port 9000 --ttl 10m"},
                .stray = "the command to run comes last, after --",
                .scope = Scope::oci},
    .options = oci_options,
    .check = check_oci,
    .warn = warn_of_oci,
    .prepare = prepare,
};

}  // namespace instancer::daemon
