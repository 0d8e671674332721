// SPDX-License-Identifier: MIT
// Containers of a previous run, ends that nobody told us of, and removals that the engine could not carry out at once.
#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <string_view>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>

#include "docker_backend_impl.hpp"
#include "docker_json.hpp"

namespace instancer {

using nlohmann::json;

namespace {

constexpr std::chrono::seconds removal_patience{5};
constexpr std::chrono::seconds removal_pause{20};
constexpr std::chrono::milliseconds first_look{100}, last_look{5'000};

/// The name that makes a container that daemon's and service's, if it has one.
std::optional<ContainerName> name_of(const json& summary, const std::string& daemon, const std::string& service)
{
    for (const std::string_view name : value_at(summary, "Names", std::vector<std::string>()))
        if (auto parsed = ContainerName::parse(name.substr(std::min<std::size_t>(name.size(), 1)), daemon, service))
            return parsed;
    return {};
}

}  // namespace

/// Asks for the ends that nobody told us of, and removes what could not be removed before.
asio::awaitable<void> DockerBackend::Impl::reconcile()
{
    const auto self = shared_from_this();
    Containers known;
    for (const auto& [id, container] : containers_)
        if (container->started && !container->ended.is_set())
            known.push_back(container);
    for (const auto& container : known) {
        const auto reply = co_await call("GET", "/containers/" + container->id + "/json");
        if (!reply)
            break;
        if (reply->status() == 404) {
            ended(*container, {});
        } else if (reply->ok()) {
            const auto state = object_at(reply->json(), "State");
            if (!value_at(state, "Running", false))
                ended(*container, value_at(state, "ExitCode", -1));
        }
    }
    const auto names = std::exchange(unremoved_, {});
    co_await remove_all(names);
}

/// Kills the container, named by name or id, if it still runs, and removes it with its volumes.
asio::awaitable<Result<void>> DockerBackend::Impl::remove(std::string container)
{
    const auto self = shared_from_this();
    const auto deadline = std::chrono::steady_clock::now() + removal_patience;
    for (;;) {
        const auto reply = co_await call("DELETE", container_removal(container));
        if (reply && (reply->ok() || reply->status() == 404))
            co_return Result<void>();
        if (std::chrono::steady_clock::now() < deadline && (reply || reply.error() != Errc::stopping)) {
            // Somebody else is removing it, or the engine is away or ill.
            asio::steady_timer pause(control_, std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
            continue;
        }
        remove_later(container);
        co_return fail(Errc::backend_unavailable, "container " + container.substr(0, 12) + " is not removed yet: " +
                                                      (reply ? reply->message() : reply.error().text()));
    }
}

/// When the engine is back, or after a while.
void DockerBackend::Impl::remove_later(const std::string& container)
{
    const bool first = unremoved_.empty();
    unremoved_.push_back(container);
    if (first && !closed_)
        asio::co_spawn(control_, retry_removals(), asio::detached);
}

asio::awaitable<void> DockerBackend::Impl::retry_removals()
{
    const std::weak_ptr<Impl> weak = weak_from_this();
    asio::steady_timer pause(control_, removal_pause);
    co_await pause.async_wait(as_result);
    const auto self = weak.lock();
    if (!self || closed_ || engine_lost_)
        co_return;
    const auto names = std::exchange(unremoved_, {});
    co_await remove_all(names);
}

asio::awaitable<Result<std::vector<OrphanInstance>>> DockerBackend::Impl::recover()
{
    const auto self = shared_from_this();
    const auto prepared = co_await this->prepared();
    if (!prepared)
        co_return fail(prepared.error());
    json filters;
    filters["label"] = json::array({label(label_daemon, options_.daemon)});
    const auto reply = co_await call("GET", "/containers/json?all=1&filters=" + percent_encoded(filters.dump()));
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok())
        co_return fail(Errc::backend_unavailable, "listing containers: " + reply->message());

    std::vector<OrphanInstance> found;
    std::vector<std::string> unwanted;
    const auto summaries = reply->json();
    for (const auto& summary : summaries) {
        const auto id = text_at(summary, "Id");
        const auto service = text_at(object_at(summary, "Labels"), label_service);
        const auto name = name_of(summary, options_.daemon, service);
        // Labels alone are no proof: what somebody made from an image of an instance carries them too.
        if (!name || containers_.contains(id) || (service != service_ && is_served(service)))
            continue;
        auto leftover = co_await adopt(summary, *name, *prepared);
        if (leftover)
            found.push_back(std::move(*leftover));
        else
            unwanted.push_back(id);
    }
    co_await remove_all(unwanted);
    if ((*prepared)->reach == Reach::inside) {
        auto clean = [this] {
            network_.remove();
            return Result<void>();
        };
        (void)co_await offload(std::move(clean));
    }
    co_return found;
}

/// Removes them side by side.
asio::awaitable<void> DockerBackend::Impl::remove_all(const std::vector<std::string>& containers)
{
    const auto removed = std::make_shared<AsyncEvent>(control_);
    const auto left = std::make_shared<std::size_t>(containers.size());
    const auto on_removal = [removed, left](std::exception_ptr, const Result<void>&) {
        if (--*left == 0)
            removed->set();
    };
    for (const auto& container : containers)
        asio::co_spawn(control_, remove(container), on_removal);
    if (!containers.empty())
        co_await removed->wait();
}

/// Whether an instance of a previous run can serve its owner, as far as the engine's list tells.
bool DockerBackend::Impl::is_usable(const json& summary, const ContainerName& name, const Prepared& prepared) const
{
    const auto labels = object_at(summary, "Labels");
    const auto state = text_at(summary, "State");
    return !stdio() && text_at(labels, label_service) == service_ && (state == "running" || state == "paused") &&
           text_at(labels, label_config) == prepared.config && name.identity() && name.identity()->returning();
}

/// Fails only for what is known to be of no use.
asio::awaitable<Result<OrphanInstance>> DockerBackend::Impl::adopt(const json& summary, const ContainerName& name,
                                                                   std::shared_ptr<const Prepared> prepared)
{
    if (!is_usable(summary, name, *prepared))
        co_return fail(Errc::not_supported);
    const auto id = text_at(summary, "Id");
    const auto container = std::make_shared<Container>(control_, id, name, prepared);
    container->port = prepared->port;
    container->started = true;
    container->opened = true;
    containers_.emplace(id, container);
    const auto located = co_await look(*container, prepared->reach);
    if (!located && located.error() == Errc::instance_gone) {
        forget(*container);
        co_return fail(located.error());
    }
    if (!located) {
        events_.warning(service_, "where " + container->name + " is cannot be told yet: " + located.error().message() +
                                      "; it is kept, and asked for until it can be told");
        asio::co_spawn(control_, keep_looking(weak_from_this(), container), asio::detached);
    }
    const auto age = std::max(unix_time() - name.claimed(), std::chrono::seconds(0));
    OrphanInstance orphan(Instance(container->name, container), *name.identity(), age);
    orphan.extended(name.extended());
    co_return orphan;
}

/// Looks where a container is until that is known, or the container has ended.
asio::awaitable<void> DockerBackend::Impl::keep_looking(std::weak_ptr<Impl> weak, std::shared_ptr<Container> container)
{
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor);
    for (auto pause = first_look;; pause = std::min(pause * 2, last_look)) {
        timer.expires_after(pause);
        co_await timer.async_wait(as_result);
        const auto self = weak.lock();
        if (!self || self->closed_ || container->ended.is_set())
            co_return;
        const auto located = co_await self->look(*container, container->prepared->reach);
        if (self->closed_)
            co_return;
        if (located)
            self->events_.notice(self->service_, container->name + " can be reached again");
        else if (located.error() == Errc::instance_gone)
            self->ended(*container, {});
        if (located || located.error() == Errc::instance_gone)
            co_return;
    }
}

}  // namespace instancer
