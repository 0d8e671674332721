// SPDX-License-Identifier: MIT
// A client as plain as the system lets it be: what it sees is what the kernel says.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace daemon_test {

/// A blocking connection. Every wait ends after 20 s.
class RawClient {
public:
    /// To 127.0.0.1, from an address of this machine.
    explicit RawClient(std::uint16_t port, const std::string& from = "127.0.0.1")
        : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        // The port is chosen by connect, which knows all four numbers of the connection.
        const int on = 1;
        ::setsockopt(socket_.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        REQUIRE(::inet_pton(AF_INET, from.c_str(), &address.sin_addr) == 1);
        REQUIRE(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }

    /// To a Unix socket.
    explicit RawClient(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
        connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
    }

    bool connected() const noexcept { return connected_; }

    /// Of a TCP connection, at this end.
    std::uint16_t local_port() const
    {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin_port);
    }

    /// False when the connection has ended.
    bool send(std::string_view data)
    {
        while (!data.empty()) {
            const auto count =
                uninterrupted([&] { return ::send(socket_.get(), data.data(), data.size(), MSG_NOSIGNAL); });
            if (count <= 0)
                return false;
            data.remove_prefix(static_cast<std::size_t>(count));
        }
        return true;
    }

    void half_close() { ::shutdown(socket_.get(), SHUT_WR); }
    void close() { socket_.reset(); }

    /// Closes with a reset.
    void reset()
    {
        const linger now{1, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
        socket_.reset();
    }

    /// Exactly `size` bytes; fewer when the connection ends before.
    std::string receive(std::size_t size)
    {
        std::string data;
        while (data.size() < size && receive_some(data, size - data.size())) {}
        return data;
    }

    /// Up to the end of a line, without it.
    std::string receive_line()
    {
        std::string line;
        while (receive_some(line, 1))
            if (line.back() == '\n') {
                line.pop_back();
                break;
            }
        return line;
    }

    /// All until the connection ends; `ended_by_reset` says how.
    std::string receive_all()
    {
        std::string data;
        while (receive_some(data, 65536)) {}
        return data;
    }

    /// Whether there is nothing to read now, and no end either.
    bool receives_nothing() const
    {
        char byte;
        return ::recv(socket_.get(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
    }

    /// The other side ended the connection in order, after all that was received.
    bool ended_in_order() const noexcept { return error_ == 0 && ended_; }
    bool ended_by_reset() const noexcept { return error_ == ECONNRESET; }

private:
    void connect(const sockaddr* address, socklen_t size)
    {
        const timeval limit{20, 0};
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        // One that is reset at once, before we are awake again, was connected too.
        connected_ = ::connect(socket_.get(), address, size) == 0 || errno == ECONNRESET;
    }

    /// Where a child of the same program ends, a call with a time limit returns early.
    template <class Call>
    static ssize_t uninterrupted(const Call& call)
    {
        for (;;)
            if (const auto count = call(); count >= 0 || errno != EINTR)
                return count;
    }

    bool receive_some(std::string& data, std::size_t most)
    {
        const auto before = data.size();
        data.resize(before + most);
        const auto count = uninterrupted([&] { return ::recv(socket_.get(), data.data() + before, most, 0); });
        ended_ = count == 0;
        error_ = count < 0 ? errno : 0;
        data.resize(before + static_cast<std::size_t>(count > 0 ? count : 0));
        return count > 0;
    }

    instancer::UniqueFd socket_;
    bool connected_ = false;
    bool ended_ = false;
    int error_ = 0;
};

}  // namespace daemon_test
