// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>

#include <instancer/acceptor/proxy_protocol.hpp>
#include <instancer/backend/balance.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// A server that connections are passed on to.
class Upstream {
public:
    /// `host` is a name or an address, without brackets.
    static Upstream tcp(std::string host, std::uint16_t port) { return Upstream(std::move(host), port); }
    /// The server that listens on the Unix socket at `path`.
    static Upstream unix_socket(std::string path) { return Upstream(std::move(path), 0); }

    /// Whether it is a Unix socket.
    bool is_unix() const noexcept { return port_ == 0; }

    /// The host, or the path of a Unix socket.
    const std::string& name() const noexcept { return name_; }
    /// The port; 0 for a Unix socket.
    std::uint16_t port() const noexcept { return port_; }

    /// Where it listens when its host is an address. One with a zone is looked up as a name is: its interface may come
    /// and go.
    std::optional<asio::ip::tcp::endpoint> endpoint() const
    {
        asio::error_code error = asio::error::invalid_argument;
        asio::ip::address address;
        if (!is_unix() && name_.find('%') == name_.npos)
            address = asio::ip::make_address(name_, error);
        return error ? std::nullopt : std::optional(asio::ip::tcp::endpoint(address, port_));
    }

    /// Whether its host is a name, which has to be looked up.
    bool is_named() const { return !is_unix() && !endpoint(); }

    /// As the user writes it: `host:port`, `[v6]:port` or `unix:/path`.
    std::string text() const
    {
        if (is_unix())
            return "unix:" + name_;
        const auto port = ":" + std::to_string(port_);
        return name_.find(':') == name_.npos ? name_ + port : "[" + name_ + "]" + port;
    }

    /// Its share of connections, in proportion to the shares of the others; 0: it gets no more.
    unsigned weight = 1;

private:
    Upstream(std::string name, std::uint16_t port) : name_(std::move(name)), port_(port) {}

    std::string name_;
    std::uint16_t port_;
};

/// How an upstream is asked whether it works, beside what its clients find out: by a connection of its own each time.
class UpstreamCheck {
public:
    std::chrono::milliseconds interval{0};    ///< Between two checks of one upstream; 0 means that there are none.
    std::chrono::milliseconds timeout{2000};  ///< Of one check as a whole.
    std::string send;                         ///< The bytes to send to it.
    std::string expect;                       ///< Must be in its first 4096 bytes; empty: any answer will do.
    unsigned fall = 3;  ///< Checks that fail in a row before it is down; the very first check decides alone.
    unsigned rise = 2;  ///< Checks that succeed in a row before it is up again.

    UpstreamCheck() = default;
};

/// Finds every address of a host, each with `port`; it may block for long.
///
/// Lifetime: a call that nobody waits for any more goes on, so that it must own what it uses.
/// Threads: any, several at once.
using HostLookUp =
    std::function<Result<std::vector<asio::ip::tcp::endpoint>>(const std::string& host, std::uint16_t port)>;

/// Where an UpstreamBackend connects to, and how.
class UpstreamOptions {
public:
    std::vector<Upstream> upstreams;                  ///< At least one.
    Balance balance = Balance::round_robin;           ///< How a connection's server is chosen.
    std::chrono::milliseconds connect_timeout{5000};  ///< Of one upstream, all its addresses together.
    unsigned max_fails = 3;  ///< In a row, before an upstream is left alone for `fail_timeout`; 0 means never.
    std::chrono::milliseconds fail_timeout{10'000};      ///< How long a server rests that failed too often.
    std::chrono::milliseconds resolve_interval{30'000};  ///< Between look-ups of names; 0: one that works is enough.
    HostLookUp look_up;                                  ///< Looks names up; empty: as the system does.
    UpstreamCheck check;                                 ///< How servers are checked.

    /// While an upstream that came back, or was added, gets its weight little by little; 0 means at once.
    std::chrono::milliseconds slow_start{0};

    std::size_t max_per_upstream = 0;                 ///< Connections to one upstream at once; 0 means no limit.
    std::size_t queue_size = 128;                     ///< Clients that wait while each upstream has its maximum.
    std::chrono::milliseconds queue_timeout{30'000};  ///< How long a client waits; 0 means no limit.

    /// With it each connection, also that of a check, begins with a header of the PROXY protocol.
    std::optional<ProxyVersion> send_proxy;

    UpstreamOptions() = default;
};

}  // namespace instancer
