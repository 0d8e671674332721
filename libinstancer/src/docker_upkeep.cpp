// SPDX-License-Identifier: MIT
#include "docker_upkeep.hpp"

#include <chrono>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>

#include <instancer/async/as_result.hpp>

#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

namespace {

constexpr std::chrono::seconds firewall_pause{5};

std::string label(std::string_view name, std::string_view value)
{
    return std::string(name) + "=" + std::string(value);
}

}  // namespace

DockerUpkeep::DockerUpkeep(std::shared_ptr<DockerCalls> calls, DockerBridgeNetwork& network,
                           const DockerOptions& options, std::string service, Events& events,
                           DockerWatch::Observer& observer)
    : calls_(std::move(calls)),
      preparation_(calls_->engine(), network, options, service, events),
      watch_(calls_->engine(), {label(label_daemon, options.daemon), label(label_service, service)}, observer),
      firewall_look_(calls_->get_executor())
{
}

asio::awaitable<Result<std::shared_ptr<const Prepared>>> DockerUpkeep::prepared()
{
    auto work = [this] {
        auto made = preparation_.get();
        if (made)
            watch_.start();
        return made;
    };
    auto made = co_await calls_->offload(std::move(work));
    if (preparation_.has_network() && !std::exchange(keeps_firewall_, true))
        asio::co_spawn(calls_->get_executor(), keep_firewall(weak_from_this()), asio::detached);
    co_return made;
}

/// Nobody tells us when the host's firewall is loaded again and our rule is lost with the old one.
asio::awaitable<void> DockerUpkeep::keep_firewall(std::weak_ptr<DockerUpkeep> weak)
{
    for (;;) {
        const auto self = weak.lock();
        if (!self || self->calls_->closed())
            co_return;
        self->firewall_look_.expires_after(firewall_pause);
        const auto [cancelled] = co_await self->firewall_look_.async_wait(as_result);
        if (cancelled || self->calls_->closed())
            co_return;
        auto look = [&preparation = self->preparation_] {
            preparation.restore_firewall();
            return Result<void>();
        };
        (void)co_await self->calls_->offload(std::move(look));
    }
}

void DockerUpkeep::close()
{
    firewall_look_.cancel();
    watch_.stop();
    preparation_.stop();
}

}  // namespace instancer::detail::inline docker
