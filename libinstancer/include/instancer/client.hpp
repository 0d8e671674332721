// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <utility>
#include <variant>

#include <asio/ip/tcp.hpp>
#include <sys/types.h>

namespace instancer {

/// Where a connection comes from and where it arrived. Over a Unix socket there are a path and a user id instead.
class ClientInfo {
public:
    ClientInfo() = default;
    /// Over TCP.
    ClientInfo(const asio::ip::tcp::endpoint& peer, const asio::ip::tcp::endpoint& local)
        : from_(Tcp(unmapped(peer), unmapped(local)))
    {
    }
    /// Over the Unix socket at `path`, by the user `uid`.
    ClientInfo(uid_t uid, std::string path) : from_(Unix(uid, std::move(path))) {}

    /// Over a Unix socket, by a user that nobody knows.
    explicit ClientInfo(std::string path) : from_(Unix(std::nullopt, std::move(path))) {}

    /// The client's address and port; none over a Unix socket. An IPv4 client of a dual-stack listener reads as IPv4.
    std::optional<asio::ip::tcp::endpoint> peer() const noexcept
    {
        const auto* tcp = std::get_if<Tcp>(&from_);
        return tcp ? std::optional(tcp->peer) : std::nullopt;
    }

    /// The address and port that the client connected to.
    std::optional<asio::ip::tcp::endpoint> local() const noexcept
    {
        const auto* tcp = std::get_if<Tcp>(&from_);
        return tcp ? std::optional(tcp->local) : std::nullopt;
    }

    /// The user at the other end of a Unix socket.
    std::optional<uid_t> uid() const noexcept
    {
        const auto* local = std::get_if<Unix>(&from_);
        return local ? local->uid : std::nullopt;
    }

    /// The path of the Unix socket that the client connected to.
    const std::string& path() const noexcept
    {
        static const std::string none;
        const auto* local = std::get_if<Unix>(&from_);
        return local ? local->path : none;
    }

    /// `192.0.2.1:5000`, `[2001:db8::1]:5000`, `uid 1000`, `unix:/path` or `unknown`.
    std::string to_string() const
    {
        if (const auto client = peer())
            return format(*client);
        if (const auto user = uid())
            return "uid " + std::to_string(*user);
        return path().empty() ? "unknown" : "unix:" + path();
    }

    /// `192.0.2.1:5000` or `[2001:db8::1]:5000`.
    static std::string format(const asio::ip::tcp::endpoint& endpoint)
    {
        const auto address = endpoint.address().to_string();
        const auto port = ":" + std::to_string(endpoint.port());
        return endpoint.address().is_v6() ? "[" + address + "]" + port : address + port;
    }

    /// Prints it as `to_string` says.
    friend std::ostream& operator<<(std::ostream& out, const ClientInfo& client) { return out << client.to_string(); }

private:
    /// One or the other, because every session holds a ClientInfo for as long as it lasts.
    struct Tcp {
        Tcp(const asio::ip::tcp::endpoint& from, const asio::ip::tcp::endpoint& to) : peer(from), local(to) {}

        asio::ip::tcp::endpoint peer, local;
    };
    struct Unix {
        Unix(std::optional<uid_t> user, std::string to) : uid(user), path(std::move(to)) {}

        std::optional<uid_t> uid;
        std::string path;
    };

    static asio::ip::tcp::endpoint unmapped(const asio::ip::tcp::endpoint& endpoint)
    {
        const auto& address = endpoint.address();
        if (!address.is_v6() || !address.to_v6().is_v4_mapped())
            return endpoint;
        return {asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()), endpoint.port()};
    }

    std::variant<std::monostate, Tcp, Unix> from_;
};

}  // namespace instancer
