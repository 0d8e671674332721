// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <instancer/detail/unique_fd.hpp>

namespace daemon_test {

/// A listening socket on a free port of 127.0.0.1.
class Listener {
public:
    Listener() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        REQUIRE(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
        REQUIRE(::listen(socket_.get(), 8) == 0);
        REQUIRE(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
        port_ = ntohs(address.sin_port);
    }

    int fd() const { return socket_.get(); }
    std::string port() const { return std::to_string(port_); }
    void close() { socket_.reset(); }

private:
    instancer::detail::UniqueFd socket_;
    std::uint16_t port_;
};

}  // namespace daemon_test
