// SPDX-License-Identifier: MIT
#include "modes/forward/forward.hpp"

#include <utility>

#include "files/upstreams.hpp"
#include "modes/forward/forward_service.hpp"

namespace instancer::daemon {

namespace {

Parsed<std::unique_ptr<RunningService>> prepare(const OwnedSettings& settings, ServiceContext& context)
{
    const auto& service = settings.service();
    auto parts = InstanceParts::prepare(service, context);
    if (!parts)
        return wrong(parts.error());
    auto upstreams = service.upstreams_file.empty() ? Parsed<std::vector<Upstream>>()
                                                    : load_upstreams(settings.daemon(), service.upstreams_file);
    if (!upstreams)
        return wrong(upstreams.error());
    return std::make_unique<ForwardService>(settings, context, std::move(*parts), std::move(*upstreams));
}

}  // namespace

constinit const ModeEntry forward_mode{
    .mode = Mode::forward,
    .name = "forward",
    .use = "to pass connections on",
    .command = {.words = "forward",
                .forms = {"--listen ADDR --to ADDR[=WEIGHT],... [options]", "LOCAL_IP:PORT FORWARD_IP:PORT",
                          "LOCAL_IP LOCAL_PORT FORWARD_IP FORWARD_PORT"},
                .purpose = "Each connection is passed on to one of the servers of a list.",
                .examples = {"forward --listen :80 --to 10.0.0.1:8080=2,10.0.0.2:8080 --balance least-connections",
                             "forward 127.0.0.1 8080 10.0.0.1 80"},
                .stray = "write --listen ADDR --to ADDR",
                .scope = Scope::forward},
    .options = forward_options,
    .check = check_forward,
    .prepare = prepare,
};

}  // namespace instancer::daemon
