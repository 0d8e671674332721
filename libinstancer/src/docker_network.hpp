// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <asio/ip/address_v4.hpp>
#include <asio/ip/network_v4.hpp>
#include <nlohmann/json_fwd.hpp>

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

#include "docker_engine.hpp"

namespace instancer::detail::inline docker {

/// Makes a TCP socket of the address family that belongs to the network namespace.
///
/// Threads: one that does nothing else, because it enters the namespace for that time.
Result<UniqueFd> socket_inside(int network_namespace, int family);

/// Whether this process may enter network namespaces.
bool may_enter_namespaces();

/// The bridge network of one service: containers on it reach neither each other nor, if the firewall can be had, the
/// host; with egress they reach the outside.
///
/// Addresses are handed out by us, and none again within a minute: who still knows the previous holder must not meet
/// the next one.
///
/// Threads: any; all but those about addresses block.
class DockerNetwork {
public:
    using Address = asio::ip::address_v4;
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::seconds quarantine{60};

    DockerNetwork(DockerEngine& engine, std::string daemon, std::string service);

    const std::string& name() const noexcept { return name_; }

    /// Makes the network and its firewall rule, or takes over what is there.
    Result<void> ensure(bool egress);

    /// Puts the firewall rule back if it has gone, as a reload of the host's firewall takes it away. Whether it had
    /// gone; see `firewall_problem` for whether it is back.
    bool restore_firewall();

    /// Why containers can reach the host; empty when they cannot.
    std::string firewall_problem() const;

    /// Removes whatever there is, if no container uses it.
    void remove();

    /// Errors: Errc::backend_unavailable when every address is taken or was so a minute ago.
    Result<Address> take_address(Clock::time_point now = Clock::now());
    void take_address(const Address& address);
    void return_address(const Address& address, Clock::time_point now = Clock::now());

private:
    class Free {
    public:
        Free(const Address& which, Clock::time_point when) : address(which), usable_from(when) {}

        Address address;
        Clock::time_point usable_from;
    };

    Result<bool> adopt(bool egress);
    Result<void> create(bool egress);
    bool has_subnet() const;
    void set_subnet(const asio::ip::network_v4& subnet);
    std::string firewall(const char* action) const;

    DockerEngine& engine_;
    const std::string daemon_;
    const std::string service_;
    const std::string name_;
    const std::string bridge_;  ///< The interface on the host.

    mutable std::mutex mutex_;  ///< Held while the engine works.
    std::string firewall_problem_;

    mutable std::mutex addresses_mutex_;  ///< Held for an instant.
    std::optional<asio::ip::network_v4> subnet_;
    std::deque<Free> free_;
};

}  // namespace instancer::detail::inline docker
