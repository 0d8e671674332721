// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>

#include <instancer/authenticator.hpp>

namespace instancer {

/// Tells clients apart by the address that they connect from: an IPv4 address, an IPv6 prefix, or the user id at the
/// other end of a Unix socket.
class SourceAddressAuthenticator final : public Authenticator {
public:
    /// One client usually has a whole IPv6 prefix; `v6_prefix_bits` of the address count, 0 to 128.
    explicit SourceAddressAuthenticator(unsigned v6_prefix_bits = 64) : v6_prefix_bits_(std::min(v6_prefix_bits, 128u))
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
        if (address.is_v4())
            return address.to_string();
        auto bytes = address.to_v6().to_bytes();
        for (unsigned bit = v6_prefix_bits_; bit < 128; ++bit)
            bytes[bit / 8] &= static_cast<unsigned char>(~(0x80u >> bit % 8));
        return asio::ip::make_address_v6(bytes).to_string() + "/" + std::to_string(v6_prefix_bits_);
    }

    unsigned v6_prefix_bits_;
};

}  // namespace instancer
