// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace instancer {

/// How an upstream is chosen for a connection; weights count in each.
enum class Balance {
    round_robin,        ///< In turn, evenly spread.
    least_connections,  ///< The one that serves the fewest.
    source_hash,        ///< The same one for the same client address; few clients move when the list changes.
    random,             ///< Of two at random the one that serves fewer.
};

/// A server that connections are passed on to.
class Upstream {
public:
    /// `host` is a name or an address, without brackets.
    static Upstream tcp(std::string host, std::uint16_t port) { return Upstream(std::move(host), port); }
    static Upstream unix_socket(std::string path) { return Upstream(std::move(path), 0); }

    bool is_unix() const noexcept { return port_ == 0; }

    /// The host, or the path of a Unix socket.
    const std::string& name() const noexcept { return name_; }
    std::uint16_t port() const noexcept { return port_; }

    /// As the user writes it: `host:port`, `[v6]:port` or `unix:/path`.
    std::string text() const
    {
        if (is_unix())
            return "unix:" + name_;
        const auto port = ":" + std::to_string(port_);
        return name_.find(':') == name_.npos ? name_ + port : "[" + name_ + "]" + port;
    }

    /// The share of connections that it gets, in proportion to those of the others; at least 1.
    unsigned weight = 1;

private:
    Upstream(std::string name, std::uint16_t port) : name_(std::move(name)), port_(port) {}

    std::string name_;
    std::uint16_t port_;
};

/// Where an UpstreamBackend connects to, and how.
class UpstreamOptions {
public:
    std::vector<Upstream> upstreams;  ///< At least one.
    Balance balance = Balance::round_robin;
    std::chrono::milliseconds connect_timeout{5000};  ///< Of one attempt.
    unsigned max_fails = 3;                        ///< In a row, before an upstream is left alone for `fail_timeout`.
    std::chrono::milliseconds fail_timeout{10'000};
    std::chrono::milliseconds resolve_interval{30'000};  ///< Between look-ups of names.

    UpstreamOptions() = default;
};

}  // namespace instancer
