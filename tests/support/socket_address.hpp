// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <instancer/unique_fd.hpp>

namespace daemon_test {

/// Where a stream socket listens, written as for instancerd: `127.0.0.1:80`, `[::1]:80`, `unix:/path`.
class SocketAddress {
public:
    explicit SocketAddress(const std::string& text)
    {
        if (text.starts_with("unix:")) {
            auto& address = reinterpret_cast<sockaddr_un&>(storage_);
            address.sun_family = AF_UNIX;
            const auto path = text.substr(std::strlen("unix:"));
            REQUIRE(path.size() < sizeof address.sun_path);
            std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
            size_ = sizeof address;
            return;
        }
        const auto colon = text.rfind(':');
        const auto port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
        if (text.starts_with('[')) {
            auto& address = reinterpret_cast<sockaddr_in6&>(storage_);
            address.sin6_family = AF_INET6;
            address.sin6_port = port;
            REQUIRE(::inet_pton(AF_INET6, text.substr(1, colon - 2).c_str(), &address.sin6_addr) == 1);
            size_ = sizeof address;
        } else {
            auto& address = reinterpret_cast<sockaddr_in&>(storage_);
            address.sin_family = AF_INET;
            address.sin_port = port;
            REQUIRE(::inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) == 1);
            size_ = sizeof address;
        }
    }

    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t size() const noexcept { return size_; }

    instancer::UniqueFd make_socket() const
    {
        return instancer::UniqueFd(::socket(storage_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    }

private:
    sockaddr_storage storage_{};
    socklen_t size_ = 0;
};

/// A connection to `address`; none when it is refused.
inline instancer::UniqueFd connect_to(const std::string& address)
{
    const SocketAddress to(address);
    auto socket = to.make_socket();
    if (::connect(socket.get(), to.get(), to.size()) != 0)
        socket.reset();
    return socket;
}

}  // namespace daemon_test
