// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <instancer/unique_fd.hpp>

#include <socket_address.hpp>

namespace daemon_test {

/// A listening socket, by default on a free port of 127.0.0.1.
class Listener {
public:
    explicit Listener(const std::string& address = "127.0.0.1:0", int backlog = 8) : address_(address)
    {
        const SocketAddress wanted(address);
        socket_ = wanted.make_socket();
        REQUIRE(::bind(socket_.get(), wanted.get(), wanted.size()) == 0);
        REQUIRE(::listen(socket_.get(), backlog) == 0);
        if (address.starts_with("unix:"))
            return;
        sockaddr_in6 bound{};  // The port is at the same place for IPv4.
        socklen_t size = sizeof bound;
        REQUIRE(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&bound), &size) == 0);
        port_ = std::to_string(ntohs(bound.sin6_port));
        address_ = address.substr(0, address.rfind(':') + 1) + port_;
    }

    int fd() const { return socket_.get(); }
    const std::string& port() const { return port_; }
    const std::string& address() const { return address_; }
    void close() { socket_.reset(); }

    /// The next client; none when there is none for 20 s, or after `close`.
    instancer::UniqueFd accept() const
    {
        pollfd waiting{socket_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, 20'000) != 1)
            return {};
        return instancer::UniqueFd(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }

private:
    instancer::UniqueFd socket_;
    std::string port_, address_;
};

/// A server whose backlog is full: the system does not answer for it.
class HangingListener : public Listener {
public:
    explicit HangingListener(const std::string& address = "127.0.0.1:0") : Listener(address, 0)
    {
        // Another one may take its port later.
        const int on = 1;
        ::setsockopt(fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        const SocketAddress own(this->address());
        for (int i = 0; i < 8; ++i) {
            auto& socket = filling_.emplace_back(own.make_socket());
            REQUIRE(::fcntl(socket.get(), F_SETFL, O_NONBLOCK) == 0);
            ::connect(socket.get(), own.get(), own.size());
        }
    }

private:
    std::vector<instancer::UniqueFd> filling_;
};

}  // namespace daemon_test
