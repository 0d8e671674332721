// SPDX-License-Identifier: MIT
// The relay with its control prompt.
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <utility>

#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <doctest/doctest.h>

#include <instancer/workers.hpp>

#include "config/command_line.hpp"
#include "daemon/preparation.hpp"
#include "observe/log.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace instancer::daemon;

TEST_CASE("relay service: its prompt is closed also where an exception ends the service")
{
    const daemon_test::TemporaryDirectory directory;
    const auto prompt = directory.path("prompt");
    auto command =
        parse_command_line({"relay", "--listen", "127.0.0.1:0", "--auth-string", "hi", "--control", "unix:" + prompt});
    REQUIRE(command.problems.empty());
    const auto settings = std::make_shared<const Settings>(std::move(command.settings));
    Workers workers(1);
    Log log(LogLevel::error, LogFormat::text);
    ServiceContext context(workers, *settings, log);
    auto services = prepare_services(settings, context);
    REQUIRE(services);
    auto& service = *services->front();

    bool was_open = false, is_open = true;
    std::exception_ptr thrown;
    const auto over = [&](std::exception_ptr failure, const Result<void>&) {
        thrown = failure;
        is_open = std::filesystem::exists(prompt);
        service.stop();
        asio::post(workers.control(), [&workers] { workers.stop(); });
    };
    asio::co_spawn(workers.control(), service.run([&] {
        was_open = std::filesystem::exists(prompt);
        throw std::runtime_error("nobody can be told");
    }),
                   over);
    workers.run();
    CHECK(was_open);
    CHECK(thrown);
    CHECK_FALSE(is_open);
}
