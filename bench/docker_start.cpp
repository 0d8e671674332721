// SPDX-License-Identifier: MIT
// Docker: from connect to first byte when the container must be started first, against the same calls by hand.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <thread>

#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sched.h>
#include <unistd.h>

#include "load.hpp"
#include "subject.hpp"
#include "works.hpp"

namespace bench {

namespace {

using nlohmann::json;

/// The Engine API as one would use it by hand.
class Engine {
public:
    Engine()
    {
        const char* host = std::getenv("DOCKER_HOST");
        path_ = host != nullptr && std::strncmp(host, "unix://", 7) == 0 ? host + 7 : "/var/run/docker.sock";
    }

    json call(const std::string& method, const std::string& target, const std::string& body = {},
              const std::string& type = "application/json") const
    {
        asio::io_context context;
        asio::local::stream_protocol::socket socket(context);
        socket.connect(path_);
        // HTTP 1.0: the answer ends with the connection.
        asio::write(socket,
                    asio::buffer(method + " " + target + " HTTP/1.0\r\nHost: localhost\r\nContent-Type: " + type +
                                 "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
        std::string answer;
        asio::error_code end;
        asio::read(socket, asio::dynamic_buffer(answer), end);
        const int status = std::atoi(answer.c_str() + answer.find(' ') + 1);
        const auto content = answer.substr(answer.find("\r\n\r\n") + 4);
        if (status >= 300)
            throw std::runtime_error(method + " " + target + ": " + content);
        return json::parse(content, nullptr, false);
    }

private:
    std::string path_;
};

/// A tar archive of one executable file (POSIX.1-1988, ustar).
std::string archive_of(const std::string& program)
{
    std::ifstream file(program, std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    char header[512] = {};
    std::memcpy(header, "echo_server", 11);
    std::snprintf(header + 100, 8, "%07o", 0755);
    std::snprintf(header + 108, 8, "%07o", 0);
    std::snprintf(header + 116, 8, "%07o", 0);
    std::snprintf(header + 124, 12, "%011zo", bytes.size());
    std::snprintf(header + 136, 12, "%011o", 0);
    std::memset(header + 148, ' ', 8);
    header[156] = '0';
    std::memcpy(header + 257, "ustar\00000", 8);
    unsigned sum = 0;
    for (const char byte : header)
        sum += static_cast<unsigned char>(byte);
    std::snprintf(header + 148, 7, "%06o", sum);
    bytes.resize((bytes.size() + 511) / 512 * 512);
    return std::string(header, sizeof header) + bytes + std::string(1024, '\0');
}

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

double by_hand(const Engine& engine)
{
    // The same restrictions as instancerd's defaults, so that the engine has the same work.
    const json limits = {{"NetworkMode", "none"},
                         {"Init", true},
                         {"ReadonlyRootfs", true},
                         {"CapDrop", {"ALL"}},
                         {"SecurityOpt", {"no-new-privileges"}},
                         {"Memory", 256 << 20},
                         {"MemorySwap", 256 << 20},
                         {"NanoCpus", 1000000000},
                         {"PidsLimit", 64},
                         {"Tmpfs", {{"/tmp", "size=64m"}}}};
    const json body = {{"Image", image}, {"User", "65534"}, {"HostConfig", limits}};
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
    const Engine engine;
    const auto changes = "&changes=CMD%20%5B%22%2Fecho_server%22%5D&changes=EXPOSE%209000";
    engine.call("POST", std::string("/images/create?fromSrc=-&repo=") + image + "&tag=latest" + changes,
                archive_of(ECHO_SERVER_PATH), "application/x-tar");
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
