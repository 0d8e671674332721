// SPDX-License-Identifier: MIT
// Clients that come all the time, while the configuration changes and while the daemon is started anew.
#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <daemon.hpp>
#include <listener.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <socket_address.hpp>
#include <temporary_directory.hpp>

using daemon_test::Daemon;
using daemon_test::Listener;
using daemon_test::SocketAddress;
using daemon_test::TemporaryDirectory;
using instancer::UniqueFd;
using service_test::eventually;

namespace {

constexpr int reloads = 20, restarts = 5;

/// Clients that are served between two changes.
constexpr std::size_t crowd = 300;

/// Sends one byte back to each who comes, and ends the connection.
class Upstream {
public:
    Upstream()
    {
        for (auto& thread : threads_)
            thread = std::thread([this] { serve(); });
    }
    ~Upstream()
    {
        over_ = true;
        ::shutdown(listener_.fd(), SHUT_RD);
        for (auto& thread : threads_)
            thread.join();
    }

    const std::string& address() const { return listener_.address(); }

private:
    void serve()
    {
        while (!over_) {
            const UniqueFd client(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
            char byte = 0;
            if (client && ::recv(client.get(), &byte, 1, 0) == 1)
                ::send(client.get(), &byte, 1, MSG_NOSIGNAL);
        }
    }

    Listener listener_{"127.0.0.1:0", 4096};
    std::atomic<bool> over_{false};
    std::thread threads_[3];
};

/// Threads that connect, exchange a byte and read to the end, again and again.
class Crowd {
public:
    Crowd(const std::string& address, std::size_t size) : address_(address)
    {
        for (std::size_t i = 0; i < size; ++i)
            threads_.emplace_back([this] {
                while (!over_)
                    come();
            });
    }
    ~Crowd() { leave(); }

    void leave()
    {
        over_ = true;
        for (auto& thread : threads_)
            thread.join();
        threads_.clear();
    }

    bool serves_more(std::size_t count) const
    {
        const auto before = served_.load();
        return eventually([&] { return served_ >= before + count; });
    }

    std::size_t served() const { return served_; }
    std::size_t refused() const { return refused_; }
    std::size_t broken() const { return broken_; }

private:
    void come()
    {
        const SocketAddress address(address_);
        const auto socket = address.make_socket();
        const timeval limit{20, 0};
        ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (::connect(socket.get(), address.get(), address.size()) != 0) {
            ++refused_;
            return;
        }
        char byte = 'x';
        const bool answered = ::send(socket.get(), &byte, 1, MSG_NOSIGNAL) == 1 &&
                              ::recv(socket.get(), &byte, 1, 0) == 1 && ::shutdown(socket.get(), SHUT_WR) == 0 &&
                              ::recv(socket.get(), &byte, 1, 0) == 0;
        ++(answered ? served_ : broken_);
    }

    const std::string address_;
    std::atomic<bool> over_{false};
    std::atomic<std::size_t> served_{0}, refused_{0}, broken_{0};
    std::vector<std::thread> threads_;
};

std::string forward(const std::string& listen, const std::string& to, const std::string& options = {})
{
    return R"("web": {"mode": "forward", "listen": ")" + listen + R"(", "to": ")" + to + "\"" + options + "}";
}

}  // namespace

TEST_CASE("reloads: steady clients notice none of them")
{
    const Upstream upstream;
    const TemporaryDirectory directory;
    // Each changes both services, and now and then there is a third.
    const auto configure = [&](int round) {
        const auto number = std::to_string(round);
        const auto third = R"(, "third": {"mode": "exec", "listen": "unix:)" + directory.path("third") +
                           R"(", "command": ["/bin/cat"]})";
        return directory.file(
            "c.json", "{\"services\": {" +
                          forward("127.0.0.1:0", upstream.address(),
                                  R"(, "session-timeout": "1)" + number + R"(m", "max-per-source": 9)" + number) +
                          R"(, "cat": {"mode": "exec", "listen": "127.0.0.1:0", "env": {"N": ")" + number +
                          R"("}, "command": ["/bin/cat"]})" + (round % 2 ? third : "") + "}}");
    };
    Daemon daemon({"run", "--config", configure(0)}, 2);
    const auto address_of = [&](const std::string& service) {
        const auto line = daemon.wait_for_line(service + ": listening on ");
        return line.substr(line.rfind(' ') + 1);
    };
    Crowd forwarded(address_of("web"), 3), started(address_of("cat"), 1);
    for (int round = 1; round <= reloads; ++round) {
        configure(round);
        daemon.signal(SIGHUP);
        const auto nth = static_cast<std::size_t>(round) + 1;
        REQUIRE(daemon.wait_for_line("web: listening on ", nth) != "");
        REQUIRE(daemon.wait_for_line("cat: listening on ", nth) != "");
        REQUIRE(forwarded.serves_more(crowd));
        REQUIRE(started.serves_more(3));
    }
    forwarded.leave();
    started.leave();
    MESSAGE(forwarded.served() << " clients forwarded, " << started.served() << " with a process each");
    CHECK(forwarded.refused() + started.refused() == 0);
    CHECK(forwarded.broken() + started.broken() == 0);
    CHECK(daemon.terminate() == 0);
}

TEST_CASE("restarts: steady clients of a socket that is passed notice none of them")
{
    const Upstream upstream;
    const TemporaryDirectory directory;
    // As a service manager does, it holds the socket all the time.
    const Listener listener("127.0.0.1:0", 4096);
    const auto file = directory.file("c.json", "{\"services\": {" + forward("fd:web", upstream.address()) + "}}");
    const std::vector<std::string> command = {"/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" run --config \"$1\"",
                                              test_paths::instancerd, file};
    const auto start = [&] {
        return std::make_unique<Daemon>(command, std::vector<std::string>{"LISTEN_FDS=1", "LISTEN_FDNAMES=web"},
                                        listener.fd());
    };
    auto daemon = start();
    Crowd clients(listener.address(), 4);
    for (int round = 1; round <= restarts; ++round) {
        REQUIRE(clients.serves_more(crowd));
        CHECK(daemon->terminate() == 0);
        daemon = start();
    }
    REQUIRE(clients.serves_more(crowd));
    clients.leave();
    MESSAGE(clients.served() << " clients");
    CHECK(clients.refused() == 0);
    CHECK(clients.broken() == 0);
    CHECK(daemon->terminate() == 0);
}
