// SPDX-License-Identifier: MIT
#include "modes/oci/oci.hpp"

#include <instancer/backend/oci_backend.hpp>

#include "modes/container_backend.hpp"

namespace instancer::daemon {

OciOptions oci_backend_options(const Settings& settings, const ServiceSettings& service)
{
    OciOptions options;
    set_container_options(options, settings, service);
    options.image.root = service.oci.root;
    options.runtime = service.oci.runtime;
    options.init = settings.init_program();
    options.io = service.docker.io;
    options.port = service.docker.port;
    options.pty = service.pty;
    options.read_only = service.docker.read_only;
    options.tmpfs = service.docker.tmpfs;
    options.mounts = service.docker.mounts;
    return options;
}

namespace {

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    auto options = oci_backend_options(settings.daemon(), settings.service());
    if (const auto& oci = settings.service().oci; !oci.archive.empty())
        options.find_image = [oci, &context, name = settings.service().name](const std::stop_token& stop) {
            context.log.notice(name, "reading the archive " + oci.archive);
            return context.images.import(oci.archive, oci.store, stop);
        };
    return prepare_containers<OciBackend>(settings, context, std::move(options));
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
                    "engine. It reaches neither the host nor its neighbours nor the outside.",
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
