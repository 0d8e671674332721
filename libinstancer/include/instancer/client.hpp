// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <utility>

#include <asio/ip/tcp.hpp>
#include <sys/types.h>

namespace instancer {

/// Where a connection comes from and where it arrived. Over a Unix socket there are a path and a user id instead.
class ClientInfo {
public:
    ClientInfo() = default;
    /// Over TCP.
    ClientInfo(asio::ip::tcp::endpoint peer, asio::ip::tcp::endpoint local)
        : peer_(unmapped(peer)), local_(unmapped(local))
    {
    }
    /// Over the Unix socket at `path`, by the user `uid`.
    ClientInfo(uid_t uid, std::string path) : uid_(uid), path_(std::move(path)) {}

    /// Over a Unix socket, by a user that nobody knows.
    explicit ClientInfo(std::string path) : path_(std::move(path)) {}

    /// The client's address and port; none over a Unix socket. An IPv4 client of a dual-stack listener reads as IPv4.
    const std::optional<asio::ip::tcp::endpoint>& peer() const noexcept { return peer_; }

    /// The address and port that the client connected to.
    const std::optional<asio::ip::tcp::endpoint>& local() const noexcept { return local_; }

    /// The user at the other end of a Unix socket.
    std::optional<uid_t> uid() const noexcept { return uid_; }

    /// The path of the Unix socket that the client connected to.
    const std::string& path() const noexcept { return path_; }

    /// `192.0.2.1:5000`, `[2001:db8::1]:5000`, `uid 1000`, `unix:/path` or `unknown`.
    std::string to_string() const
    {
        if (peer_)
            return format(*peer_);
        if (uid_)
            return "uid " + std::to_string(*uid_);
        return path_.empty() ? "unknown" : "unix:" + path_;
    }

    /// `192.0.2.1:5000` or `[2001:db8::1]:5000`.
    static std::string format(const asio::ip::tcp::endpoint& endpoint)
    {
        const auto address = endpoint.address().to_string();
        const auto port = ":" + std::to_string(endpoint.port());
        return endpoint.address().is_v6() ? "[" + address + "]" + port : address + port;
    }

private:
    static asio::ip::tcp::endpoint unmapped(const asio::ip::tcp::endpoint& endpoint)
    {
        const auto& address = endpoint.address();
        if (!address.is_v6() || !address.to_v6().is_v4_mapped())
            return endpoint;
        return {asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()), endpoint.port()};
    }

    std::optional<asio::ip::tcp::endpoint> peer_;
    std::optional<asio::ip::tcp::endpoint> local_;
    std::optional<uid_t> uid_;
    std::string path_;
};

}  // namespace instancer
