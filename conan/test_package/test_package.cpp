// SPDX-License-Identifier: MIT
#include <cstdio>

#include <asio/io_context.hpp>

#include <instancer/bridge/pair_bridge.hpp>
#include <instancer/events.hpp>
#include <instancer/version.hpp>
#ifdef WITH_DOCKER
#include <instancer/backend/docker_backend.hpp>
#endif

int main()
{
    asio::io_context context;
    instancer::Events events;
    instancer::PairBridge bridge;
#ifdef WITH_DOCKER
    instancer::DockerOptions options;
    options.image = "image";
    instancer::DockerBackend backend(context.get_executor(), "service", options, events);
#endif
    std::printf("instancer %s\n", INSTANCER_VERSION);
}
