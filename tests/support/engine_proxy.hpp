// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

#include <docker_support.hpp>
#include <listener.hpp>
#include <socket_address.hpp>
#include <temporary_directory.hpp>

namespace docker_test {

/// A socket that leads to the tests' engine, or to what a test makes of it.
class EngineProxy {
public:
    enum class Answer {
        pass,     ///< What the engine says.
        error,    ///< Status 500.
        missing,  ///< Status 404.
        hang_up,  ///< The end of the connection.
        silence,  ///< Nothing, with the connection open; also for what passed before.
    };
    /// Is shown the first line of a request.
    using Rule = std::function<Answer(const std::string&)>;

    EngineProxy() : acceptor_([this](const std::stop_token& stop) { accept(stop); }) {}

    ~EngineProxy()
    {
        acceptor_.request_stop();
        acceptor_.join();
    }

    std::string address() const { return "unix://" + path(); }

    /// Holds for requests from now on.
    void obey(Rule rule)
    {
        const std::lock_guard lock(mutex_);
        rule_ = std::move(rule);
    }

    /// Nothing is answered from now on.
    void fall_silent()
    {
        obey([](const auto&) { return Answer::silence; });
    }

private:
    static constexpr int look = 10;  ///< Milliseconds.

    std::string path() const { return folder_.path() + "/engine"; }

    Answer answer_to(const std::string& request) const
    {
        const std::lock_guard lock(mutex_);
        return rule_ ? rule_(request.substr(0, request.find('\r'))) : Answer::pass;
    }

    void accept(const std::stop_token& stop)
    {
        std::vector<std::jthread> connections;
        while (!stop.stop_requested()) {
            pollfd waiting{listener_.fd(), POLLIN, 0};
            if (::poll(&waiting, 1, look) == 1)
                connections.emplace_back(
                    [this, client = listener_.accept()](const std::stop_token& over) { serve(client.get(), over); });
        }
    }

    void serve(int client, const std::stop_token& stop) const
    {
        std::string head;
        while (head.find("\r\n\r\n") == head.npos)
            if (!move(client, stop, [&](std::string_view bytes) { head += bytes; }))
                return;
        const auto answer = answer_to(head);
        if (answer == Answer::silence)
            while (move(client, stop, [](std::string_view) {})) {}
        if (answer == Answer::error)
            send(client, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        if (answer == Answer::missing)
            send(client, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        if (answer != Answer::pass)
            return;
        const daemon_test::SocketAddress engine("unix:" + default_engine().substr(std::string("unix://").size()));
        const auto server = engine.make_socket();
        if (::connect(server.get(), engine.get(), engine.size()) != 0)
            return;
        send(server.get(), head);
        const std::jthread up([&, client](const std::stop_token& over) {
            while (move(client, over, [&](std::string_view bytes) { send(server.get(), bytes); })) {}
            ::shutdown(server.get(), SHUT_WR);
        });
        const auto pass = [&](std::string_view bytes) {
            if (answer_to(head) == Answer::pass)
                send(client, bytes);
        };
        while (move(server.get(), stop, pass)) {}
        ::shutdown(client, SHUT_RDWR);
    }

    /// Waits for bytes; false at their end.
    template <class Take>
    static bool move(int from, const std::stop_token& stop, const Take& take)
    {
        std::array<char, 16 * 1024> bytes;
        pollfd waiting{from, POLLIN, 0};
        while (!stop.stop_requested())
            if (::poll(&waiting, 1, look) == 1) {
                const auto count = ::recv(from, bytes.data(), bytes.size(), 0);
                if (count <= 0)
                    return false;
                take(std::string_view(bytes.data(), static_cast<std::size_t>(count)));
                return true;
            }
        return false;
    }

    static void send(int to, std::string_view bytes)
    {
        while (!bytes.empty()) {
            const auto count = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (count <= 0)
                return;
            bytes.remove_prefix(static_cast<std::size_t>(count));
        }
    }

    const daemon_test::TemporaryDirectory folder_;
    const daemon_test::Listener listener_{"unix:" + path(), 128};
    mutable std::mutex mutex_;
    Rule rule_;
    std::jthread acceptor_;
};

}  // namespace docker_test
