// SPDX-License-Identifier: MIT
// Needs Asio and tl::expected alone.
#include <cstdio>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>

#include <instancer/backend/upstream_backend.hpp>
#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/events.hpp>
#include <instancer/version.hpp>

int main()
{
    int unused = 0;  // What -Wall would find.
    if (const int unused = 1; unused == 0)
        return 1;

    asio::io_context context;
    instancer::Events events;
    instancer::UpstreamBackend backend(context.get_executor(), "service", instancer::UpstreamOptions(), events);
    instancer::PairBridge bridge;
    std::printf("instancer %s\n", INSTANCER_VERSION);
}
