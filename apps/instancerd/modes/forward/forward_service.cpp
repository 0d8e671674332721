// SPDX-License-Identifier: MIT
#include "modes/forward/forward_service.hpp"

#include <string>
#include <utility>

#include <instancer/authenticator/shared.hpp>

#include "files/upstreams.hpp"

namespace instancer::daemon {

ForwardService::ForwardService(const OwnedSettings& settings, ServiceContext& context, InstanceParts parts,
                               std::vector<Upstream> upstreams)
    : RunningService(settings),
      log_(context.log),
      upstreams_(add_upstreams(settings, context, parts, std::move(upstreams))),
      service_(settings, context, std::move(parts))
{
    if (settings.service().when_down == WhenDown::close_listener)
        upstreams_.on_available([this](bool available) { note_available(available); });
}

UpstreamBackend& ForwardService::add_upstreams(const OwnedSettings& settings, ServiceContext& context,
                                               InstanceParts& parts, std::vector<Upstream> upstreams)
{
    const auto& service = settings.service();
    auto options = service.upstream;
    if (!service.upstreams_file.empty())
        options.upstreams = std::move(upstreams);
    parts.pool = UpstreamBackend::default_pool_options();
    parts.budget = nullptr;
    parts.use_authenticator<SharedAuthenticator>();
    return parts.use_backend<UpstreamBackend>(context.workers.control(), service.name, std::move(options), context.log);
}

asio::awaitable<Result<void>> ForwardService::run(std::function<void()> serving)
{
    return service_.run(std::move(serving));
}

asio::awaitable<void> ForwardService::reload(HelperThreads& reader)
{
    auto common = service_.reload(reader);
    co_await std::move(common);
    const auto& file = settings().service().upstreams_file;
    if (file.empty())
        co_return;
    auto read = [this, &file] { return load_upstreams(settings().daemon(), file); };
    auto call = reader.run(std::move(read));
    auto list = co_await std::move(call);
    auto change = use(std::move(list));
    co_await std::move(change);
}

asio::awaitable<void> ForwardService::use(Parsed<std::vector<Upstream>> list)
{
    const auto& file = settings().service().upstreams_file;
    std::string error;
    std::size_t count = 0;
    if (list) {
        count = list->size();
        auto task = upstreams_.set_upstreams(std::move(*list));
        const auto result = co_await std::move(task);
        if (!result)
            error = file + ": " + result.error().message();
    } else {
        error = list.error();
    }
    if (error.empty())
        log_.notice(name(), "read " + counted(count, "upstream") + " from " + file);
    else
        log_.warning(name(), error + "; the upstreams stay as they were");
}

void ForwardService::note_available(bool available)
{
    closed_ = !available;
    if (available) {
        if (!is_paused())
            service_.server().resume();
        log_.notice(name(), "an upstream works again");
    } else {
        service_.server().pause();
        log_.warning(name(), "no upstream works; the listeners are closed until one does");
    }
}

ServiceGauges ForwardService::gauges() const
{
    auto gauges = service_.gauges();
    gauges.waiting = upstreams_.waiting();
    return gauges;
}

void ForwardService::resume()
{
    RunningService::resume();
    if (closed_)
        service_.server().pause();
}

}  // namespace instancer::daemon
