// SPDX-License-Identifier: MIT
#pragma once

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/process/cleanup_supervisor.hpp>

namespace instancer::detail {

INSTANCER_DECL Result<void> CleanupSupervisor::start()
{
    auto process = starter_();
    if (!process)
        return fail(process.error());
    process_.emplace(std::move(*process));
    began_ = std::chrono::steady_clock::now();
    return {};
}

INSTANCER_DECL void CleanupSupervisor::watch()
{
    asio::error_code error;
    auto end = process_->end();
    end_.close(error);
    end_.assign(end.get(), error);
    if (error)
        return;
    end.release();
    end_.async_wait(asio::posix::stream_descriptor::wait_read, [this](const asio::error_code& cancelled) {
        if (!cancelled)
            replace_soon(std::chrono::steady_clock::now() - began_);
    });
}

INSTANCER_DECL void CleanupSupervisor::replace_soon(std::chrono::steady_clock::duration lived)
{
    const bool at_once = lived >= shortest_life;
    events_.warning(service_, std::string("its cleanup process, instancer-guard, was killed; another takes its place") +
                                  (at_once ? "" : " in a second"));
    const auto start_another = [this] { asio::co_spawn(executor_, replace(), asio::detached); };
    if (at_once)
        start_another();
    else
        pause_.set(shortest_life - lived, start_another);
}

INSTANCER_DECL asio::awaitable<void> CleanupSupervisor::replace()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    auto begin = [this] { return start(); };
    const auto started = co_await helpers_.run(std::move(begin));
    if (started)
        watch();
    else
        events_.warning(service_, started.error().message() + "; its instances would outlive a daemon that is killed");
}

}  // namespace instancer::detail
