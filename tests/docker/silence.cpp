// SPDX-License-Identifier: MIT
// An engine that takes calls and says nothing.
#include <csignal>

#include <daemon.hpp>
#include <docker_support.hpp>
#include <engine_proxy.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <temporary_directory.hpp>

using namespace docker_test;
using daemon_test::Child;
using daemon_test::Daemon;
using daemon_test::RawClient;

namespace {

constexpr auto soon = 10s;

}  // namespace

TEST_CASE("a signal ends a daemon whose engine never answers")
{
    const daemon_test::TemporaryDirectory folder;
    const daemon_test::Listener engine("unix:" + folder.path("engine"));
    Child daemon(daemon_test::instancerd(
        {"docker", "--listen", "127.0.0.1:0", "--image", "any", "--engine", "unix://" + folder.path("engine")}));
    const auto call = engine.accept();
    REQUIRE(call);
    daemon.signal(SIGTERM);
    CHECK(daemon.wait(soon) == 0);
}

TEST_CASE("two signals end a daemon whose engine fell silent while instances ran")
{
    need_shell_image();
    EngineProxy engine;
    const auto name = "silent-" + std::to_string(::getpid());
    Daemon daemon(
        {"docker", "--listen", "127.0.0.1:0", "--name", name, "--engine", engine.address(), "--image", shell_image});
    RawClient client(daemon.port());
    client.send("echo here\n");
    CHECK(client.receive_line() == "here");
    engine.fall_silent();
    RawClient starting(daemon.port());
    daemon.signal(SIGTERM);
    CHECK(daemon.wait_for_line("finishing the sessions") != "");
    daemon.signal(SIGTERM);
    CHECK(daemon.wait(soon) == 0);
    CHECK(daemon.wait_for_line("is not removed yet") != "");
    CHECK(daemon.count("until it is back") == 0);

    // The next one makes up for it.
    Daemon next(
        {"docker", "--listen", "127.0.0.1:0", "--name", name, "--engine", default_engine(), "--image", shell_image});
    CHECK(Engine().labelled("instancer.daemon%3D" + name).empty());
    CHECK(next.terminate() == 0);
}

TEST_CASE("a backend whose engine fell silent goes at once")
{
    EngineProxy engine;
    auto options = Bench::options();
    options.engine = engine.address();
    Bench bench(options);
    bench.start();
    engine.fall_silent();
    std::optional<Result<instancer::Instance>> started;
    bench.spawn(bench.backend().start(instancer::InstanceRequest("svc")), started);
    bench.backend().interrupt();
    bench.until([&] { return started.has_value(); });
    CHECK(!*started);
    const auto begin = std::chrono::steady_clock::now();
    bench.crash();
    CHECK(std::chrono::steady_clock::now() - begin < 500ms);
    remove_containers(options.daemon);
}
