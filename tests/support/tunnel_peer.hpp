// SPDX-License-Identifier: MIT
// The two ends of the original's reverse tunnel, as its description says: written from that alone, and with the
// weaknesses that it names.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <instancer/unique_fd.hpp>

#include <listener.hpp>
#include <socket_address.hpp>

namespace tunnel_test {

using instancer::UniqueFd;

/// `1.2.3.4:80` as six bytes.
inline std::string packed(const std::string& address)
{
    const daemon_test::SocketAddress parsed(address);
    const auto& in = *reinterpret_cast<const sockaddr_in*>(parsed.get());
    return std::string(reinterpret_cast<const char*>(&in.sin_addr), 4) +
           std::string(reinterpret_cast<const char*>(&in.sin_port), 2);
}

inline std::string unpacked(const std::string& six)
{
    std::string text;
    for (std::size_t i = 0; i < 4; ++i)
        text += (i == 0 ? "" : ".") + std::to_string(static_cast<unsigned char>(six[i]));
    return text + ":" + std::to_string(static_cast<unsigned char>(six[4]) * 256 + static_cast<unsigned char>(six[5]));
}

/// MSG_LEN(2) SEQ(2) CMD(3) FROM(6) TO(6) DATA(N)
struct Message {
    std::string command, from, to, data;
};

/// A connection that carries messages. Several threads may send.
class Wire {
public:
    explicit Wire(UniqueFd socket) : socket_(std::move(socket)) {}

    bool send(const std::string& command, const std::string& from, const std::string& to, const std::string& data = {})
    {
        const std::lock_guard lock(mutex_);
        sequence_ = (sequence_ + 1) % 65535;
        const auto length = 17 + data.size();
        std::string bytes{static_cast<char>(length >> 8), static_cast<char>(length), static_cast<char>(sequence_ >> 8),
                          static_cast<char>(sequence_)};
        return send_raw(bytes + command + from + to + data);
    }

    bool send_raw(const std::string& bytes)
    {
        for (std::size_t sent = 0; sent < bytes.size();) {
            const auto count = ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
            if (count <= 0)
                return false;
            sent += static_cast<std::size_t>(count);
        }
        return true;
    }

    /// None at the end, or when nothing comes for 20 s.
    std::optional<Message> receive()
    {
        const auto head = receive(2);
        if (head.size() < 2)
            return std::nullopt;
        const auto length =
            static_cast<std::size_t>(static_cast<unsigned char>(head[0]) * 256 + static_cast<unsigned char>(head[1]));
        const auto body = receive(length);
        if (body.size() < length || length < 17)
            return std::nullopt;
        return Message{body.substr(2, 3), body.substr(5, 6), body.substr(11, 6), body.substr(17)};
    }

    /// The next message of that command.
    std::optional<Message> receive(const std::string& command)
    {
        for (;;)
            if (auto message = receive(); !message || message->command == command)
                return message;
    }

    /// The other end, and whoever receives, sees the end of the stream.
    void shutdown() { ::shutdown(socket_.get(), SHUT_RDWR); }

    int fd() const { return socket_.get(); }

private:
    std::string receive(std::size_t size)
    {
        std::string data(size, '\0');
        std::size_t taken = 0;
        while (taken < size) {
            pollfd waiting{socket_.get(), POLLIN, 0};
            if (::poll(&waiting, 1, 20'000) != 1)
                break;
            const auto count = ::recv(socket_.get(), data.data() + taken, size - taken, 0);
            if (count <= 0)
                break;
            taken += static_cast<std::size_t>(count);
        }
        data.resize(taken);
        return data;
    }

    UniqueFd socket_;
    std::mutex mutex_;
    unsigned sequence_ = 0;
};

/// Ends of connections by the six bytes that name them, each with a thread that reads.
class Connections {
public:
    ~Connections() { close_all(); }

    /// `on_data` is called with what is read, and with nothing at the end.
    template <class OnData>
    void add(const std::string& name, UniqueFd socket, OnData on_data)
    {
        const auto shared = std::make_shared<Open>(std::move(socket));
        const std::lock_guard lock(mutex_);
        open_[name] = shared;
        threads_.emplace_back([shared, on_data] {
            char buffer[8192];
            while (!shared->closed) {
                const auto count = ::recv(shared->socket.get(), buffer, sizeof buffer, 0);
                on_data(std::string(buffer, static_cast<std::size_t>(std::max<ssize_t>(count, 0))));
                if (count <= 0)
                    return;
            }
        });
    }

    bool has(const std::string& name)
    {
        const std::lock_guard lock(mutex_);
        return open_.contains(name);
    }

    void write(const std::string& name, const std::string& data)
    {
        std::shared_ptr<Open> open;
        {
            const std::lock_guard lock(mutex_);
            const auto found = open_.find(name);
            if (found == open_.end())
                return;
            open = found->second;
        }
        for (std::size_t sent = 0; sent < data.size();) {
            const auto count = ::send(open->socket.get(), data.data() + sent, data.size() - sent, MSG_NOSIGNAL);
            if (count <= 0)
                return;
            sent += static_cast<std::size_t>(count);
        }
    }

    /// Both directions end. False when it was gone.
    bool close(const std::string& name)
    {
        const std::lock_guard lock(mutex_);
        const auto found = open_.find(name);
        if (found == open_.end())
            return false;
        found->second->close();
        open_.erase(found);
        return true;
    }

    void close_all()
    {
        std::vector<std::thread> threads;
        {
            const std::lock_guard lock(mutex_);
            for (const auto& [name, open] : open_)
                open->close();
            open_.clear();
            threads.swap(threads_);
        }
        for (auto& thread : threads)
            thread.join();
    }

private:
    struct Open {
        explicit Open(UniqueFd fd) : socket(std::move(fd)) {}

        /// Whoever reads stops.
        void close()
        {
            closed = true;
            ::shutdown(socket.get(), SHUT_RDWR);
        }

        const UniqueFd socket;
        std::atomic<bool> closed = false;
    };

    std::mutex mutex_;
    std::map<std::string, std::shared_ptr<Open>> open_;
    std::vector<std::thread> threads_;
};

/// The original's agent. It knows a session only once its connection stands: data that comes before opens another one.
class OriginalAgent {
public:
    /// Connecting to a target takes it `delay`.
    explicit OriginalAgent(std::uint16_t server, std::chrono::milliseconds delay = std::chrono::milliseconds(20))
        : wire_(daemon_test::connect_to("127.0.0.1:" + std::to_string(server))), delay_(delay)
    {
        reader_ = std::thread([this] { run(); });
    }
    ~OriginalAgent()
    {
        wire_.shutdown();
        reader_.join();
        for (auto& thread : connecting_)
            thread.join();
        targets_.close_all();
    }

    /// Asks for a sign of life, and returns what comes back.
    std::optional<Message> ask(const std::string& data)
    {
        const auto server = packed("127.0.0.1:8443");
        wire_.send("ALV", server, server, data);
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(20), [&] { return alive_.has_value() || over_; });
        return alive_;
    }

    /// How often it has connected to a target.
    int connects() const { return connects_; }

    Wire& wire() { return wire_; }

private:
    void run()
    {
        wire_.send("GRT", packed("127.0.0.1:1"), packed("127.0.0.1:2"), "hello");
        while (const auto message = wire_.receive()) {
            if (message->command == "FWD" && targets_.has(message->from))
                targets_.write(message->from, message->data);
            else if (message->command == "FWD")
                connecting_.emplace_back([this, message = *message] { connect(message); });
            else if (message->command == "DIS")
                targets_.close(message->from);
            else if (message->command == "CTL")
                wire_.send_raw("raw text");
            const std::lock_guard lock(mutex_);
            if (message->command == "ALV")
                alive_ = *message;
            changed_.notify_all();
        }
        const std::lock_guard lock(mutex_);
        over_ = true;
        changed_.notify_all();
    }

    void connect(const Message& message)
    {
        std::this_thread::sleep_for(delay_);
        auto socket = daemon_test::connect_to(unpacked(message.to));
        ++connects_;
        if (!socket) {
            wire_.send("DIS", message.to, message.from, "ECONNREFUSED");
            return;
        }
        targets_.add(message.from, std::move(socket), [this, message](const std::string& data) {
            if (!data.empty())
                wire_.send("FWD", message.to, message.from, data);
            else if (targets_.close(message.from))
                wire_.send("DIS", message.to, message.from, "remote disconnected already");
        });
        targets_.write(message.from, message.data);
    }

    Wire wire_;
    const std::chrono::milliseconds delay_;
    std::atomic<int> connects_ = 0;
    Connections targets_;
    std::vector<std::thread> connecting_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::optional<Message> alive_;
    bool over_ = false;
    std::thread reader_;
};

/// The original's server with one route. It answers a user's half-close with DIS, and the reply is lost.
class OriginalServer {
public:
    explicit OriginalServer(std::string target) : target_(packed(target))
    {
        acceptor_ = std::thread([this] { take_agent(); });
        users_acceptor_ = std::thread([this] { take_users(); });
    }
    ~OriginalServer()
    {
        stopping_ = true;
        ::shutdown(agents_.fd(), SHUT_RDWR);
        ::shutdown(users_listener_.fd(), SHUT_RDWR);
        if (const auto wire = this->wire())
            wire->shutdown();
        acceptor_.join();
        users_acceptor_.join();
        users_.close_all();
    }

    const std::string& agents_address() const { return agents_.address(); }
    std::uint16_t users_port() const { return static_cast<std::uint16_t>(std::stoi(users_listener_.port())); }

    /// The link to the agent; waits for it.
    std::shared_ptr<Wire> wire()
    {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, std::chrono::seconds(stopping_ ? 0 : 20), [&] { return wire_ != nullptr; });
        return wire_;
    }

    /// Waits until so many messages of that command have come from agents, and returns the last.
    std::optional<Message> wait_for(const std::string& command, std::size_t count = 1)
    {
        std::unique_lock lock(mutex_);
        const bool came =
            changed_.wait_for(lock, std::chrono::seconds(20), [&] { return came_[command].size() >= count; });
        return came ? std::optional(came_[command].back()) : std::nullopt;
    }

private:
    void take_agent()
    {
        for (;;) {
            UniqueFd socket(::accept4(agents_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
            if (!socket)
                return;
            const auto wire = std::make_shared<Wire>(std::move(socket));
            {
                const std::lock_guard lock(mutex_);
                wire_ = wire;
                changed_.notify_all();
            }
            wire->send("GRT", packed("127.0.0.1:1"), packed("127.0.0.1:2"), "welcome");
            while (const auto message = wire->receive()) {
                if (message->command == "FWD")
                    users_.write(message->to, message->data);
                else if (message->command == "DIS")
                    users_.close(message->to);
                else if (message->command == "ALV")
                    wire->send("ALV", message->to, message->from, message->data);
                const std::lock_guard lock(mutex_);
                if (message->command != "FWD")
                    came_[message->command].push_back(*message);
                changed_.notify_all();
            }
            const std::lock_guard lock(mutex_);
            wire_.reset();
        }
    }

    void take_users()
    {
        for (;;) {
            sockaddr_in address{};
            socklen_t size = sizeof address;
            UniqueFd socket(
                ::accept4(users_listener_.fd(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC));
            if (!socket)
                return;
            const auto user = std::string(reinterpret_cast<const char*>(&address.sin_addr), 4) +
                              std::string(reinterpret_cast<const char*>(&address.sin_port), 2);
            const auto link = wire();
            if (!link)
                continue;
            users_.add(user, std::move(socket), [this, user, link](const std::string& data) {
                if (!data.empty())
                    link->send("FWD", user, target_, data);
                else if (users_.close(user))
                    link->send("DIS", user, target_);
            });
        }
    }

    const std::string target_;
    daemon_test::Listener agents_, users_listener_;
    std::atomic<bool> stopping_ = false;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::shared_ptr<Wire> wire_;
    std::map<std::string, std::vector<Message>> came_;
    Connections users_;
    std::thread acceptor_, users_acceptor_;
};

}  // namespace tunnel_test
