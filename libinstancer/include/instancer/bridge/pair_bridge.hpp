// SPDX-License-Identifier: MIT
#pragma once

#include <asio/this_coro.hpp>

#include <instancer/bridge.hpp>
#include <instancer/detail/asio_compat.hpp>
#include <instancer/detail/socket_bridge.hpp>
#include <instancer/detail/stream_bridge.hpp>

namespace instancer {

/// Copies bytes between two streams of any kind; two sockets take a path without coroutines.
///
/// Reads go into one buffer per thread, and only what the other end does not take at once is kept aside: a session
/// with nothing in flight holds no buffer, and a peer that does not read holds at most one buffer's worth here.
class PairBridge final : public Bridge {
private:
    asio::awaitable<BridgeEnd> do_run(Link& link) override
    {
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        const bool sockets = link.client().native_handle() >= 0 && link.instance().native_handle() >= 0;
        if (sockets && !detail::is_cancelled(cancellation)) {
            detail::SocketBridge joined(link);
            if (joined.start())
                co_return co_await joined.wait();
        }
        detail::StreamBridge streams(link);
        co_return co_await streams.run();
    }
};

}  // namespace instancer
