// SPDX-License-Identifier: MIT
#include "docker_locator.hpp"

#include <algorithm>
#include <chrono>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include <instancer/async/as_result.hpp>
#include <instancer/detail/socket/connect.hpp>
#include <instancer/system/last_error.hpp>
#include <instancer/unique_fd.hpp>

#include "docker_json.hpp"
#include "docker_network.hpp"
#include "docker_process.hpp"

namespace instancer::detail::inline docker {

namespace {

constexpr std::chrono::seconds connect_timeout{3};
constexpr std::chrono::milliseconds first_look{100}, last_look{5'000};

/// The address of a container in the network of that name, by what the engine knows of the container.
Result<asio::ip::address_v4> address_in(const nlohmann::json& container, const std::string& network)
{
    const auto networks = object_at(object_at(container, "NetworkSettings"), "Networks");
    asio::error_code error;
    const auto address = asio::ip::make_address_v4(text_at(object_at(networks, network), "IPAddress"), error);
    if (error)
        return fail(Errc::start_failed, "it has no address in the network '" + network + "'");
    return address;
}

}  // namespace

asio::awaitable<Result<void>> ContainerLocator::locate(Container& container)
{
    const auto reply = co_await calls_->inspect(container.id);
    if (!reply)
        co_return fail(reply.error());
    if (reply->status() == 404)
        co_return fail(Errc::instance_gone, "the container has been removed");
    if (!reply->ok())
        co_return fail(Errc::start_failed, "inspecting a container: " + reply->message());
    const auto reach = container.prepared->reach;
    const auto facts = reply->json();
    const auto state = object_at(facts, "State");
    if (!value_at(state, "Running", true))
        co_return fail(Errc::instance_gone, "the container does not run");
    if (reach != Reach::inside && !container.address) {
        const auto address = address_in(facts, network_.name());
        if (!address)
            co_return fail(address.error());
        container.address = *address;
        network_.take_address(*address);
    }
    if (reach != Reach::address) {
        auto opened = open_process_entry(value_at(state, "Pid", 0), container.id, "ns/net", O_RDONLY);
        if (!opened)
            co_return fail(std::move(opened.error()));
        container.network_namespace = std::move(*opened);
    }
    container.located = true;
    co_return Result<void>();
}

void ContainerLocator::keep_locating(std::shared_ptr<Container> container)
{
    asio::co_spawn(calls_->get_executor(), locate_later(weak_from_this(), std::move(container)), asio::detached);
}

asio::awaitable<void> ContainerLocator::locate_later(std::weak_ptr<ContainerLocator> weak,
                                                     std::shared_ptr<Container> container)
{
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer timer(executor);
    for (auto pause = first_look;; pause = std::min(pause * 2, last_look)) {
        timer.expires_after(pause);
        co_await timer.async_wait(as_result);
        const auto self = weak.lock();
        if (!self || self->calls_->closed() || container->ended.is_set())
            co_return;
        const auto located = co_await self->locate(*container);
        if (self->calls_->closed())
            co_return;
        if (located)
            self->events_.notice(self->service_, container->name + " can be reached again");
        else if (located.error() == Errc::instance_gone)
            container->end({});
        if (located || located.error() == Errc::instance_gone)
            co_return;
    }
}

asio::awaitable<Result<Stream>> ContainerLocator::connect(std::shared_ptr<Container> container)
{
    if (container->address && !container->network_namespace) {
        const asio::ip::tcp::endpoint endpoint(*container->address, container->port);
        UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!socket)
            co_return fail(last_error(), "making a socket");
        co_return co_await detail::connect(std::move(socket), endpoint, connect_timeout);
    }
    const std::shared_ptr<const UniqueFd> network(container, &container->network_namespace);
    co_return co_await connector_.connect(network, container->port);
}

}  // namespace instancer::detail::inline docker
