// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>

#include <instancer/acceptor/network.hpp>
#include <instancer/authenticator.hpp>

namespace instancer {

/// Tells clients apart by the address or the network that they connect from, or by the user id at the other end of a
/// Unix socket.
class SourceAddressAuthenticator final : public Authenticator {
public:
    /// One client usually has a whole IPv6 prefix; `v6_prefix_bits` of the address count, 0 to 128, and of an IPv4
    /// address `v4_prefix_bits`, 0 to 32.
    explicit SourceAddressAuthenticator(unsigned v6_prefix_bits = 64, unsigned v4_prefix_bits = 32)
        : v6_prefix_bits_(std::min(v6_prefix_bits, 128u)), v4_prefix_bits_(std::min(v4_prefix_bits, 32u))
    {
    }

private:
    bool do_reads() const noexcept override { return false; }

    asio::awaitable<Result<Admission>> do_authenticate(Stream&, const ClientInfo& info) override
    {
        if (const auto& peer = info.peer())
            co_return Admission(owner(peer->address()), std::string());
        if (const auto uid = info.uid())
            co_return Admission("uid " + std::to_string(*uid), std::string());
        co_return fail(Errc::rejected, "the client has no address");
    }

    std::string owner(const asio::ip::address& address) const
    {
        const Network exact(address);
        return exact.widened(exact.is_v4() ? v4_prefix_bits_ : v6_prefix_bits_).to_string();
    }

    unsigned v6_prefix_bits_;
    unsigned v4_prefix_bits_;
};

}  // namespace instancer
