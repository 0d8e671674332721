// SPDX-License-Identifier: MIT
// Uses the compiled part: asks an engine that is not there, and must be told so by a code that it knows itself.
#include <cstdio>

#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>

#include <instancer/backend/docker_backend.hpp>

int main()
{
    asio::io_context context;
    instancer::Events events;
    instancer::DockerOptions options;
    options.engine = "unix:///nonexistent/docker.sock";
    options.image = "none";
    options.port = 1;
    instancer::DockerBackend backend(context.get_executor(), "service", options, events);
    bool unavailable = false;
    asio::co_spawn(context, backend.prepare(), [&](std::exception_ptr failure, instancer::Result<void> result) {
        unavailable = !failure && !result && result.error() == instancer::Errc::backend_unavailable;
        std::printf("%s\n", result ? "there is an engine" : result.error().message().c_str());
    });
    context.run();
    return unavailable ? 0 : 1;
}
