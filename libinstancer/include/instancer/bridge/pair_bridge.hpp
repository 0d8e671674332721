// SPDX-License-Identifier: MIT
#pragma once

#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/bridge.hpp>
#include <instancer/detail/bridge/lending_bridge.hpp>
#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/detail/bridge/stream_bridge.hpp>

namespace instancer {

/// Copies bytes between two streams of any kind; a socket and another one, or one that lends, take a path without
/// coroutines.
///
/// Reads go into one buffer per thread, and only what the other end does not take at once is kept aside: a session
/// with nothing in flight holds no buffer, and a peer that does not read holds at most one buffer's worth here.
class PairBridge final : public Bridge {
private:
    bool do_start(Link& link, BridgeObserver& observer) override
    {
        if (link.client().native_handle() < 0)
            return false;
        if (link.instance().native_handle() >= 0)
            return detail::SocketBridge::start(link, observer).has_value();
        return link.instance().lender() && detail::LendingBridge::start(link, observer).has_value();
    }

    asio::awaitable<BridgeEnd> do_run(Link& link) override
    {
        detail::StreamBridge streams(link);
        co_return co_await streams.run();
    }
};

}  // namespace instancer
