// SPDX-License-Identifier: MIT
#include "docker_removals.hpp"

#include <chrono>
#include <cstddef>
#include <exception>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>

#include "docker_spec.hpp"

namespace instancer::detail::inline docker {

namespace {

constexpr std::chrono::seconds removal_patience{5};
constexpr std::chrono::seconds removal_pause{20};

}  // namespace

asio::awaitable<Result<void>> DockerRemovals::remove(std::string container)
{
    const auto self = shared_from_this();
    const auto deadline = std::chrono::steady_clock::now() + removal_patience;
    for (;;) {
        const auto reply = co_await calls_->call("DELETE", container_removal(container));
        if (reply && (reply->ok() || reply->status() == 404))
            co_return Result<void>();
        if (std::chrono::steady_clock::now() < deadline && (reply || reply.error() != Errc::stopping)) {
            // Somebody else is removing it, or the engine is away or ill.
            asio::steady_timer pause(calls_->get_executor(), std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
            continue;
        }
        remove_later(container);
        co_return fail(Errc::backend_unavailable, "container " + container.substr(0, 12) + " is not removed yet: " +
                                                      (reply ? reply->message() : reply.error().text()));
    }
}

asio::awaitable<void> DockerRemovals::remove_all(std::vector<std::string> containers)
{
    const auto removed = std::make_shared<AsyncEvent>(calls_->get_executor());
    const auto left = std::make_shared<std::size_t>(containers.size());
    const auto on_removal = [removed, left](std::exception_ptr, const Result<void>&) {
        if (--*left == 0)
            removed->set();
    };
    for (const auto& container : containers)
        asio::co_spawn(calls_->get_executor(), remove(container), on_removal);
    if (!containers.empty())
        co_await removed->wait();
}

void DockerRemovals::remove_later(const std::string& container)
{
    const bool first = remaining_.empty();
    remaining_.push_back(container);
    if (first && !calls_->closed())
        asio::co_spawn(calls_->get_executor(), retry(weak_from_this()), asio::detached);
}

asio::awaitable<void> DockerRemovals::retry(std::weak_ptr<DockerRemovals> weak)
{
    const auto executor = co_await asio::this_coro::executor;
    asio::steady_timer pause(executor, removal_pause);
    co_await pause.async_wait(as_result);
    const auto self = weak.lock();
    if (!self || self->calls_->closed() || self->calls_->engine_lost())
        co_return;
    auto remaining = self->take_remaining();
    co_await self->remove_all(std::move(remaining));
}

}  // namespace instancer::detail::inline docker
