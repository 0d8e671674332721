// SPDX-License-Identifier: MIT
#include <daemon.hpp>
#include <paths.hpp>
#include <raw_client.hpp>
#include <service.hpp>

#include <deque>

using daemon_test::Daemon;
using daemon_test::RawClient;
using service_test::eventually;
using namespace std::chrono_literals;

namespace {

/// In clock ticks.
long processor_time(pid_t pid)
{
    const auto id = std::to_string(pid);
    return std::stol(instancer::process_stat(id, 14)) + std::stol(instancer::process_stat(id, 15));
}

}  // namespace

TEST_CASE("descriptors: a daemon that has none left waits for some, does not spin, and serves again")
{
    const std::vector<std::string> command{"/bin/sh",
                                           "-c",
                                           "ulimit -n 48; exec \"$@\"",
                                           "sh",
                                           test_paths::instancerd,
                                           "exec",
                                           "--listen",
                                           "127.0.0.1:0",
                                           "--max-instances",
                                           "0",
                                           "--stderr",
                                           "null",
                                           "--limit-nofile",
                                           "32",
                                           "--",
                                           "/bin/cat"};
    Daemon daemon(command, {}, -1);
    std::deque<RawClient> clients;
    for (int i = 0; i < 100; ++i)
        clients.emplace_back(daemon.port());
    REQUIRE(!daemon.wait_for_line("until it works again").empty());

    const auto warnings = daemon.count("until it works again");
    const auto used = processor_time(daemon.pid());
    const auto begin = std::chrono::steady_clock::now();
    std::this_thread::sleep_for(1s);  // Whether it spins shows over time only.
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    // A client that is refused for lack of descriptors makes room for the next one, so it may work for a moment.
    CHECK(static_cast<double>(daemon.count("until it works again") - warnings) <= 12 * seconds);
    const auto ticks = static_cast<double>(processor_time(daemon.pid()) - used);
    CHECK(ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)) < 0.3 * seconds);

    clients.clear();
    CHECK(eventually([&] {
        RawClient client(daemon.port());
        client.send("hello");
        return client.receive(5) == "hello";
    }));
    CHECK(daemon.terminate() == 0);
}
