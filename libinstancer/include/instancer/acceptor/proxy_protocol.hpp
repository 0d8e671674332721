// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <asio/ip/tcp.hpp>

#include <instancer/client.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

/// Which form of the PROXY protocol's header: a line of text, or binary.
enum class ProxyVersion {
    v1 = 1,  ///< A line of text.
    v2 = 2,  ///< Binary.
};

namespace detail {

inline constexpr std::string_view proxy_signature{"\r\n\r\n\0\r\nQUIT\n", 12};
inline constexpr std::string_view proxy_line_begin = "PROXY ";
inline constexpr std::size_t proxy_path_size = 108;

inline std::string big_endian(std::uint16_t value)
{
    return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

INSTANCER_DECL std::string bytes_of(const asio::ip::address& address);

/// Without the zone of a link-local address, which means nothing on another machine.
inline std::string text_of(const asio::ip::address& address)
{
    char text[INET6_ADDRSTRLEN];
    return ::inet_ntop(address.is_v4() ? AF_INET : AF_INET6, bytes_of(address).data(), text, sizeof text);
}

}  // namespace detail

/// Where one is of IPv4 and the other of IPv6, both become IPv6: the two ends of a connection are of one family.
INSTANCER_DECL void to_one_family(asio::ip::address& one, asio::ip::address& other);

/// The header of the PROXY protocol that tells a server who `client` is: to be sent before anything else. A client
/// that has no address is `UNKNOWN` in version 1; in version 2 it is its socket's path, or `LOCAL` without one.
///
/// As HAProxy's proxy-protocol.txt says.
INSTANCER_DECL std::string encode_proxy_header(ProxyVersion version, const ClientInfo& client);

/// Reads the header of the PROXY protocol, version 1 or 2, that comes in pieces of any size.
///
/// As HAProxy's proxy-protocol.txt says. What version 2 says beyond addresses is skipped, checksums included.
class ProxyHeaderParser {
public:
    /// How far the header has come.
    enum class State {
        incomplete,  ///< More bytes are needed.
        complete,    ///< What it says is known.
        malformed,   ///< It is none.
    };

    static constexpr std::size_t max_line = 107;      ///< Version 1, with its end of line.
    static constexpr std::size_t max_payload = 4096;  ///< Version 2, after its first 16 bytes.

    /// How far the header has come.
    State state() const noexcept { return state_; }

    /// What is wrong with a malformed header.
    std::string_view error() const noexcept { return error_; }

    /// The client that a complete header names. None when it says that the sender itself is the client (a health
    /// check), or that it does not know.
    const std::optional<ClientInfo>& client() const noexcept { return client_; }

    /// Takes from the front of `data` what belongs to the header, and returns how many bytes that was.
    std::size_t feed(std::string_view data)
    {
        std::size_t taken = 0;
        while (state_ == State::incomplete && taken < data.size())
            take(data[taken++]);
        return taken;
    }

private:
    static constexpr std::size_t fixed_size = 16;

    char previous() const noexcept { return kept_[have_ - 1]; }
    unsigned at(std::size_t index) const noexcept { return static_cast<unsigned char>(kept_[index]); }
    std::uint16_t number_at(std::size_t index) const noexcept
    {
        return static_cast<std::uint16_t>(at(index) << 8 | at(index + 1));
    }

    void malformed(std::string_view error) noexcept
    {
        state_ = State::malformed;
        error_ = error;
    }

    void complete(std::optional<ClientInfo> client = std::nullopt)
    {
        state_ = State::complete;
        client_ = std::move(client);
    }

    void take(char byte);

    void keep(char byte) noexcept
    {
        if (have_ < kept_.size())
            kept_[have_] = byte;
        ++have_;
    }

    // Version 1.

    void take_text(char byte);

    void finish_line();

    static std::optional<asio::ip::address> to_address(bool is_v4, const std::string& text);

    static std::optional<std::uint16_t> to_port(const std::string& text);

    // Version 2.

    void take_binary(char byte);

    bool is_local() const noexcept { return (at(12) & 15) == 0; }

    std::size_t address_size() const noexcept;

    template <class Address>
    void finish_addresses()
    {
        typename Address::bytes_type source, target;
        const auto begin = kept_.begin() + fixed_size;
        std::copy_n(begin, source.size(), source.begin());
        std::copy_n(begin + static_cast<std::ptrdiff_t>(source.size()), target.size(), target.begin());
        const auto ports = fixed_size + 2 * source.size();
        complete(ClientInfo({Address(source), number_at(ports)}, {Address(target), number_at(ports + 2)}));
    }

    void finish_binary();

    State state_ = State::incomplete;
    bool binary_ = false;
    std::size_t have_ = 0;  ///< Bytes that were taken.
    std::size_t size_ = 0;  ///< Of the whole header in version 2, once it is known.
    std::string_view error_;
    std::optional<ClientInfo> client_;
    std::array<char, fixed_size + 2 * detail::proxy_path_size> kept_{};  ///< What is not skipped.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/acceptor/proxy_protocol.hpp>
#endif
