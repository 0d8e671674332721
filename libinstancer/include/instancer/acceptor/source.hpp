// SPDX-License-Identifier: MIT
#pragma once

#include <compare>
#include <string>
#include <variant>

#include <sys/types.h>

#include <instancer/acceptor/network.hpp>
#include <instancer/client.hpp>

namespace instancer {

/// Whom several connections are taken to come from: one address, or one user of a Unix socket. Clients of whom nothing
/// is known are one source together.
class Source {
public:
    /// The source of `client`; IPv6 clients that share `prefix` bits, and IPv4 clients that share `prefix4`, count as
    /// one address.
    Source(const ClientInfo& client, unsigned prefix, unsigned prefix4 = 32)
    {
        if (const auto& peer = client.peer()) {
            const Network address(peer->address());
            who_ = address.widened(address.is_v4() ? prefix4 : prefix);
        } else if (const auto uid = client.uid()) {
            who_ = *uid;
        }
    }

    /// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/64`, `uid 1000` or `unknown clients`.
    std::string to_string() const
    {
        if (const auto* network = std::get_if<Network>(&who_))
            return network->to_string();
        const auto* uid = std::get_if<uid_t>(&who_);
        return uid ? "uid " + std::to_string(*uid) : "unknown clients";
    }

    /// Some order, for containers.
    friend auto operator<=>(const Source&, const Source&) = default;

private:
    std::variant<std::monostate, Network, uid_t> who_;
};

}  // namespace instancer
