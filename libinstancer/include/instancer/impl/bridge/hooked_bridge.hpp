// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/bridge/hooked_bridge.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<BridgeEnd> HookedBridge::do_run(Link& link)
{
    std::unique_ptr<SessionHook> hook;
    try {
        hook = make_hook_(link.session());
    } catch (...) {
        warn(link, std::current_exception());
        link.client().abort();
        link.instance().abort();
        co_return BridgeEnd::hook_failed;
    }
    if (!hook)
        co_return co_await unhooked_.run(link);
    detail::StreamBridge streams(link, hook.get());
    auto end = BridgeEnd::cancelled;
    std::exception_ptr failure;
    try {
        end = co_await streams.run();
    } catch (...) {
        failure = std::current_exception();
    }
    if (end == BridgeEnd::hook_failed)
        warn(link, streams.failure());
    try {
        hook->session_ended(end);
    } catch (...) {
        warn(link, std::current_exception());
    }
    if (failure)
        std::rethrow_exception(failure);
    co_return end;
}

}  // namespace instancer
