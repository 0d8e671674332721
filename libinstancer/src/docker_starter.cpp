// SPDX-License-Identifier: MIT
#include "docker_starter.hpp"

#include <chrono>
#include <utility>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/async/as_result.hpp>

#include "docker_json.hpp"
#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

namespace {

constexpr std::chrono::seconds end_patience{3};
constexpr std::chrono::seconds start_limit{30};

}  // namespace

asio::awaitable<Result<std::shared_ptr<Container>>> ContainerStarter::create(const InstanceRequest& request,
                                                                             std::string secret)
{
    for (bool again = false;; again = true) {
        const auto prepared = co_await upkeep_.prepared();
        if (!prepared)
            co_return fail(prepared.error());
        const auto address = take_address(**prepared);
        if (!address)
            co_return fail(address.error());
        auto spec = instance_spec((*prepared)->spec, options_, request, secret);
        spec["Labels"] = container_labels(options_, service_, (*prepared)->config);
        if (*address)
            spec["NetworkingConfig"]["EndpointsConfig"][network_.name()]["IPAMConfig"]["IPv4Address"] =
                (*address)->to_string();
        auto name = ContainerName(options_.daemon, service_);
        if (const auto& identity = request.identity())
            name = ContainerName(options_.daemon, service_, *identity, unix_time());

        const auto reply = co_await calls_.call("POST", "/containers/create?name=" + name.text(), spec.dump(),
                                                DockerEngine::long_work);
        if (reply && reply->ok()) {
            const auto id = text_at(reply->json(), "Id");
            auto container = std::make_shared<Container>(calls_.get_executor(), id, name, *prepared);
            container->address = *address;
            container->port = (*prepared)->port;
            co_return container;
        }
        if (*address)
            network_.return_address(**address);
        if (!reply) {
            // The engine may have made it before it went away.
            removals_.remove_later(name.text());
            co_return fail(reply.error());
        }
        // The image or the network is gone: look for it, or make it, once more.
        if (reply->status() != 404 || again)
            co_return fail(Errc::start_failed, "creating a container: " + reply->message());
        upkeep_.preparation().forget();
    }
}

/// None when containers have no network.
Result<std::optional<DockerBridgeNetwork::Address>> ContainerStarter::take_address(const Prepared& prepared)
{
    if (prepared.reach == Reach::inside)
        return std::nullopt;
    const auto taken = network_.take_address();
    if (!taken)
        return fail(taken.error());
    return *taken;
}

asio::awaitable<Result<void>> ContainerStarter::run(Container& container)
{
    const bool stdio = options_.io == DockerIo::stdio;
    if (stdio) {
        // Before the start, or the first output is lost.
        auto attached = co_await calls_.attach_to(container.id);
        if (!attached)
            co_return fail(std::move(attached.error()));
        container.attachment(std::move(*attached));
    }
    const auto path = DockerCalls::path_of(container.id) + "/start";
    const auto reply = co_await calls_.call("POST", path, {}, start_limit);
    if (!reply)
        co_return fail(reply.error());
    if (!reply->ok()) {
        const auto why = reply->message();
        if (reply->status() == 404)
            upkeep_.preparation().forget();
        co_return fail(Errc::start_failed, "starting a container: " + why + start_remedy(why));
    }
    container.started = true;
    if (stdio)
        co_return Result<void>();
    co_return co_await locate(container);
}

/// Finds out where a container that was started can be reached.
asio::awaitable<Result<void>> ContainerStarter::locate(Container& container)
{
    using namespace asio::experimental::awaitable_operators;
    auto located = co_await locator_.locate(container);
    if (located || located.error() == Errc::backend_unavailable || located.error() == Errc::stopping)
        co_return located;
    // Most likely it has ended, and the engine is about to say so.
    asio::steady_timer patience(calls_.get_executor(), end_patience);
    co_await (container.ended.wait() || patience.async_wait(as_result));
    if (!container.ended.is_set())
        co_return located;
    const auto text = co_await diagnosis_.explain_exit(container);
    co_return fail(Errc::start_failed, text);
}

}  // namespace instancer::detail::inline docker
