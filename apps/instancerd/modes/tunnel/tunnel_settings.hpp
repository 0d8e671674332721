// SPDX-License-Identifier: MIT
// What the two ends of a reverse tunnel are told, and the files of the server.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/acceptor/network.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_options.hpp>

#include "options/values.hpp"

namespace instancer::daemon {

/// Where users connect, and what they reach there through the agent.
class TunnelRoute {
public:
    TunnelRoute(Address at, TunnelAddress to) : listen(std::move(at)), target(to) {}

    /// Whether it is the same as it is written.
    friend bool operator==(const TunnelRoute& a, const TunnelRoute& b)
    {
        return a.listen.text() == b.listen.text() && a.target == b.target;
    }

    Address listen;
    TunnelAddress target;
};

/// Whether the address is one of the network's; without a network every address is.
inline bool is_within(const asio::ip::address& address, const std::optional<Network>& network)
{
    return !network || Network(address).widened(network->bits()) == *network;
}

/// Targets that an agent may connect to.
class TunnelTargets {
public:
    TunnelTargets(std::optional<Network> where, std::optional<std::uint16_t> at) : network(std::move(where)), port(at)
    {
    }

    bool holds(const TunnelAddress& target) const
    {
        return (!port || *port == target.port()) && is_within(target.endpoint().address(), network);
    }

    std::optional<Network> network;     ///< None: every address.
    std::optional<std::uint16_t> port;  ///< None: every port.
};

class TunnelSettings {
public:
    std::optional<Address> peer;  ///< Server: where agents connect. Agent: its server.

    std::vector<TunnelRoute> routes;  ///< Beside those of the file.
    std::string routing_file;
    std::string config_file;
    std::string database;
    bool any_user = false;
    std::vector<std::optional<Network>> agents;  ///< Beside those of the configuration file.
    std::optional<Address> control = Address::tcp("127.0.0.1", 4430);
    SecondAgent second_agent = SecondAgent::takes_over;
    std::chrono::milliseconds agent_wait{10'000};

    std::vector<TunnelTargets> targets;
    std::chrono::milliseconds reconnect{5000};
    std::chrono::milliseconds connect_timeout{5000};

    TunnelOptions link;

    TunnelSettings() = default;

    Address agents_listen() const { return peer.value_or(Address::tcp("0.0.0.0", 8443)); }
};

/// `LISTEN TARGET`, as in `0.0.0.0:8080 10.0.0.1:80`; with ranges of ports a route for each pair, or all to one target.
Parsed<std::vector<TunnelRoute>> parse_routes(std::string_view text);

/// A routing table: one such entry a line; `#` starts a comment. The error names `file` and the line.
Parsed<std::vector<TunnelRoute>> parse_routing(std::string_view text, const std::string& file);

/// Reads the file and parses it.
Parsed<std::vector<TunnelRoute>> load_routing(const std::string& file);

/// `CIDR|ADDRESS|all[:PORT]`
Parsed<TunnelTargets> parse_targets(std::string_view text);

/// What the original's configuration says.
class TunnelConfig {
public:
    std::vector<asio::ip::address> users;   ///< `controller_user`
    std::vector<asio::ip::address> agents;  ///< `proxy_client_whitelist`

    TunnelConfig() = default;
};

/// The error names `file` and the line.
Parsed<TunnelConfig> parse_tunnel_config(std::string_view text, const std::string& file);

/// Reads the file and parses it.
Parsed<TunnelConfig> load_tunnel_config(const std::string& file);

/// All that a server reads of its files.
class TunnelFiles {
public:
    std::vector<TunnelRoute> routes;
    std::vector<asio::ip::address> users;
    std::vector<std::optional<Network>> agents;

    TunnelFiles() = default;

    bool admits_agent(const asio::ip::address& address) const;
    bool knows_user(const asio::ip::address& address) const;
};

/// Reads the files, and adds what the settings say beside them.
Parsed<TunnelFiles> load_tunnel_files(const TunnelSettings& settings);

}  // namespace instancer::daemon
