// SPDX-License-Identifier: MIT
#include "docker_recovery.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "docker_json.hpp"
#include "docker_network.hpp"

namespace instancer::detail::inline docker {

using nlohmann::json;

namespace {

/// The name of a container of that daemon and service; none when it is none of theirs.
std::optional<ContainerName> name_of(const json& summary, const std::string& daemon, const std::string& service)
{
    for (const std::string_view name : value_at(summary, "Names", std::vector<std::string>()))
        if (auto parsed = ContainerName::parse(name.substr(std::min<std::size_t>(name.size(), 1)), daemon, service))
            return parsed;
    return {};
}

}  // namespace

asio::awaitable<Result<std::vector<OrphanInstance>>> DockerRecovery::recover(std::shared_ptr<const Prepared> prepared)
{
    const auto listed = co_await list();
    if (!listed)
        co_return fail(listed.error());
    const auto summaries = listed->json();
    std::vector<OrphanInstance> found;
    std::vector<std::string> unwanted;
    for (const auto& summary : summaries) {
        const auto id = text_at(summary, "Id");
        const auto service = text_at(object_at(summary, "Labels"), label_service);
        const auto name = name_of(summary, options_.daemon, service);
        // Labels alone are no proof: what somebody made from an image of an instance carries them too.
        if (!name || containers_.find(id) || (service != service_ && is_served(service)))
            continue;
        auto orphan = co_await adopt(summary, *name, prepared);
        if (orphan)
            found.push_back(std::move(*orphan));
        else
            unwanted.push_back(id);
    }
    co_await removals_.remove_all(std::move(unwanted));
    if (prepared->reach == Reach::inside) {
        auto clean = [this] {
            network_.remove();
            return Result<void>();
        };
        (void)co_await calls_.offload(std::move(clean));
    }
    co_return found;
}

/// All containers of the daemon, as the engine lists them.
asio::awaitable<Result<EngineReply>> DockerRecovery::list()
{
    json filters;
    filters["label"] = json::array({std::string(label_daemon) + "=" + options_.daemon});
    auto reply = co_await calls_.call("GET", "/containers/json?all=1&filters=" + percent_encoded(filters.dump()));
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok())
        co_return fail(Errc::backend_unavailable, "listing containers: " + reply->message());
    co_return reply;
}

bool DockerRecovery::is_served(const std::string& service) const
{
    return options_.services.empty() || std::ranges::count(options_.services, service) > 0;
}

/// Whether an instance of a previous run can serve its owner, as far as the engine's list tells.
bool DockerRecovery::is_usable(const json& summary, const ContainerName& name, const Prepared& prepared) const
{
    const auto labels = object_at(summary, "Labels");
    const auto state = text_at(summary, "State");
    return options_.io != DockerIo::stdio && text_at(labels, label_service) == service_ &&
           (state == "running" || state == "paused") && text_at(labels, label_config) == prepared.config &&
           name.identity() && name.identity()->returning();
}

/// Fails only for what is known to be of no use.
asio::awaitable<Result<OrphanInstance>> DockerRecovery::adopt(const json& summary, const ContainerName& name,
                                                              std::shared_ptr<const Prepared> prepared)
{
    if (!is_usable(summary, name, *prepared))
        co_return fail(Errc::not_supported);
    const auto container =
        std::make_shared<Container>(calls_.get_executor(), text_at(summary, "Id"), name, std::move(prepared));
    container->port = container->prepared->port;
    container->started = true;
    container->opened = true;
    containers_.add(container);
    const auto located = co_await locator_.locate(*container);
    if (!located && located.error() == Errc::instance_gone) {
        containers_.remove(*container);
        co_return fail(located.error());
    }
    if (!located) {
        events_.warning(service_, "where " + container->name + " is cannot be told yet: " + located.error().message() +
                                      "; it is kept, and asked for until it can be told");
        locator_.keep_locating(container);
    }
    const auto age = std::max(unix_time() - name.claimed(), std::chrono::seconds(0));
    OrphanInstance orphan(Instance(container->name, container), *name.identity(), age);
    orphan.extended(name.extended());
    co_return orphan;
}

}  // namespace instancer::detail::inline docker
