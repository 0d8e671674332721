// SPDX-License-Identifier: MIT
// Docker: from connect to first byte when the container must be started first, against the same calls by hand.
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include "docker_engine.hpp"
#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

constexpr const char* image = "instancer-bench-echo";

/// Connects to port 9000 inside the network of process `pid`, as soon as somebody listens there.
bool first_byte_inside(int pid)
{
    bool answered = false;
    // A thread of its own: it changes its network namespace for good.
    std::thread([&] {
        const int network = ::open(("/proc/" + std::to_string(pid) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
        if (network < 0 || ::setns(network, CLONE_NEWNET) != 0)
            return;
        ::close(network);
        for (int attempt = 0; attempt < 5000 && !answered; ++attempt) {
            Connection connection;
            answered = connection.open(9000) && connection.send("x") && connection.receive_byte();
            if (!answered)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    }).join();
    return answered;
}

double by_hand(const DockerEngine& engine)
{
    const auto body = DockerEngine::container_of(image);
    const auto begin = Clock::now();
    const std::string id = engine.call("POST", "/containers/create", body.dump()).at("Id");
    engine.call("POST", "/containers/" + id + "/start");
    const int pid = engine.call("GET", "/containers/" + id + "/json").at("State").at("Pid");
    const bool answered = first_byte_inside(pid);
    const auto spent = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    engine.call("DELETE", "/containers/" + id + "?force=true");
    if (!answered)
        throw std::runtime_error("no answer from the container that was started by hand");
    return spent;
}

}  // namespace

Outcome docker_start(int rounds)
{
    Table table("Docker: cold start to first byte", "ms", false);
    const DockerEngine engine;
    const auto changes = "&changes=CMD%20%5B%22%2Fecho_server%22%5D&changes=EXPOSE%209000";
    engine.make_image(image, ECHO_SERVER_PATH, changes);
    const auto port = fresh_port();
    {
        const Subject ours("instancerd docker", port,
                           {INSTANCERD_PATH, "docker", "--listen", "127.0.0.1:" + std::to_string(port), "--image",
                            image, "--port", "9000", "--log-level", "warning", "--stop-grace", "0"});
        for (int round = 0; round < rounds * 4; ++round) {
            table.add("by hand", by_hand(engine));
            // Long enough for the engine to have removed the container before.
            std::this_thread::sleep_for(std::chrono::milliseconds(700));
            table.add(ours.name(), first_byte_time(ours.port(), "x", 1, std::chrono::milliseconds(700)) / 1000);
        }
    }
    engine.call("DELETE", std::string("/images/") + image + "?force=true");
    return {std::move(table), "by hand"};
}

}  // namespace bench
