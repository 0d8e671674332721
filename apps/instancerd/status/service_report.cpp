// SPDX-License-Identifier: MIT
#include "status/service_report.hpp"

#include <string>

#include <asio/this_coro.hpp>

#include <instancer/backend/upstream_backend.hpp>
#include <instancer/server.hpp>

namespace instancer::daemon {

namespace {

void log_upstreams(const std::string& service, const UpstreamBackend& upstreams, Log& log)
{
    for (const auto& upstream : upstreams.snapshot())
        log.upstream(service, upstream);
    if (const auto waiting = upstreams.waiting(); waiting > 0)
        log.notice(service, counted(waiting, "client") + (waiting == 1 ? " waits" : " wait") + " for an upstream");
}

void log_instances(const std::string& service, const InstancePool& pool, Log& log)
{
    const auto instances = pool.snapshot();
    if (instances.empty())
        log.notice(service, "no instances");
    for (const auto& instance : instances)
        log.instance(service, instance.name, instance.state, instance.owner, instance.age, instance.clients,
                     instance.bytes_up, instance.bytes_down);
}

}  // namespace

asio::awaitable<void> log_status(std::shared_ptr<RunningService> service, Log& log)
{
    auto asking = service->condition();
    const auto condition = co_await std::move(asking);
    if (!condition.empty())
        log.notice(service->name(), condition);
    if (const auto* upstreams = service->upstreams())
        log_upstreams(service->name(), *upstreams, log);
    const auto parts = service->parts();
    for (const auto& part : parts) {
        if (part.pool)
            log_instances(part.name, *part.pool, log);
        auto looking = part.server.snapshot();
        const auto sessions = co_await std::move(looking);
        for (const auto& session : sessions)
            log.session(session);
    }
}

}  // namespace instancer::daemon
