// SPDX-License-Identifier: MIT
// The messages between the two ends of a reverse tunnel, without I/O.
#pragma once

#include <algorithm>
#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/ip/tcp.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// An IPv4 address and port, as a message of the tunnel carries them.
class TunnelAddress {
public:
    static constexpr std::size_t wire_size = 6;  ///< Bytes that it has on the wire.

    constexpr TunnelAddress() = default;
    /// That IPv4 address, as a number, and port.
    constexpr TunnelAddress(std::uint32_t address, std::uint16_t port) : address_(address), port_(port) {}

    /// All zero where the endpoint is none of IPv4.
    explicit TunnelAddress(const asio::ip::tcp::endpoint& endpoint)
    {
        if (endpoint.address().is_v4())
            *this = TunnelAddress(endpoint.address().to_v4().to_uint(), endpoint.port());
    }

    /// From `wire_size` bytes.
    static TunnelAddress decode(std::span<const std::byte> bytes) noexcept;

    /// The IPv4 address as a number.
    constexpr std::uint32_t address() const noexcept { return address_; }
    /// The port.
    constexpr std::uint16_t port() const noexcept { return port_; }

    /// The same as Asio has it.
    asio::ip::tcp::endpoint endpoint() const
    {
        return {asio::ip::address_v4(static_cast<asio::ip::address_v4::uint_type>(address_)), port_};
    }

    /// `192.0.2.1:5000`
    std::string to_string() const { return endpoint().address().to_string() + ":" + std::to_string(port_); }

    /// Some order, for containers.
    friend constexpr auto operator<=>(const TunnelAddress&, const TunnelAddress&) = default;

    /// For unordered containers.
    struct Hash {
        /// The hash of `address`.
        std::size_t operator()(const TunnelAddress& address) const noexcept
        {
            const auto both = std::uint64_t{address.address_} << 16 | address.port_;
            return static_cast<std::size_t>(both * 0x9e3779b97f4a7c15u >> 8);
        }
    };

private:
    std::uint32_t address_ = 0;
    std::uint16_t port_ = 0;
};

/// What a message is about. The last two are spoken only after both ends have agreed on them in their greetings.
enum class TunnelCommand {
    greeting,    ///< `GRT`
    forward,     ///< `FWD`: data from `from` to `to`; from the server, the first one opens a session.
    disconnect,  ///< `DIS`: the session is over, in both directions.
    control,     ///< `CTL`: a command for the agent, or its answer.
    keep_alive,  ///< `ALV`
    finish,      ///< `FIN`: no more data comes from this side; the other direction goes on.
    window,      ///< `WND`: so many more bytes of the session are welcome.
};

namespace detail {

inline constexpr std::array<std::string_view, 7> tunnel_command_names = {"GRT", "FWD", "DIS", "CTL",
                                                                         "ALV", "FIN", "WND"};

}  // namespace detail

/// One message.
///
/// Lifetime: `data` refers to bytes of others.
class TunnelMessage {
public:
    static constexpr std::size_t length_size = 2;                 ///< Bytes of the length in front of it.
    static constexpr std::size_t header_size = 17;                ///< What the length counts beside the data.
    static constexpr std::size_t max_data = 65535 - header_size;  ///< Most bytes that one message carries.

    /// A message of that kind.
    TunnelMessage(TunnelCommand what, TunnelAddress source, TunnelAddress destination,
                  std::span<const std::byte> bytes = {}, std::uint16_t number = 0)
        : command(what), sequence(number), from(source), to(destination), data(bytes)
    {
    }

    TunnelCommand command;            ///< Its subject.
    std::uint16_t sequence;           ///< Its number.
    TunnelAddress from;               ///< The sender.
    TunnelAddress to;                 ///< Whom it is for.
    std::span<const std::byte> data;  ///< Its payload.

    /// The data as text.
    std::string_view text() const noexcept { return {reinterpret_cast<const char*>(data.data()), data.size()}; }
};

/// Appends `message` to `output`, as it goes over the wire. Its data must not be longer than `max_data`.
INSTANCER_DECL void encode_tunnel_message(const TunnelMessage& message, std::vector<std::byte>& output);

/// Finds the messages in a stream of bytes that comes in pieces of any size.
class TunnelMessageDecoder {
public:
    /// Calls `handle(message)`, which returns a Result<void>, for each message that is complete with `bytes`. The
    /// message is valid during the call. After an error nothing is decoded any more.
    ///
    /// Errors: Errc::rejected when the bytes are no message, with a text that says why; those of `handle`.
    template <class Handle>
    Result<void> feed(std::span<const std::byte> bytes, Handle&& handle)
    {
        if (failure_)
            return tl::unexpected<Error>(*failure_);
        while (!bytes.empty()) {
            // What is complete in `bytes` is not copied; only what is cut off waits in `pending_`.
            if (pending_.empty()) {
                auto size = whole_size(bytes);
                if (!size)
                    return failed(size.error());
                if (*size == 0 || *size > bytes.size()) {
                    pending_.assign(bytes.begin(), bytes.end());
                    return {};
                }
                if (auto done = decode(bytes.first(*size), handle); !done)
                    return failed(done.error());
                bytes = bytes.subspan(*size);
                continue;
            }
            auto size = whole_size(pending_);
            if (!size)
                return failed(size.error());
            const auto wanted = (*size == 0 ? minimum : *size) - pending_.size();
            const auto part = bytes.first(std::min(wanted, bytes.size()));
            pending_.insert(pending_.end(), part.begin(), part.end());
            bytes = bytes.subspan(part.size());
            size = whole_size(pending_);
            if (!size)
                return failed(size.error());
            if (*size != pending_.size())
                continue;
            const auto message = std::exchange(pending_, {});
            if (auto done = decode(message, handle); !done)
                return failed(done.error());
        }
        return {};
    }

    /// Whether the stream may end here: no message has begun.
    bool is_between_messages() const noexcept { return pending_.empty(); }

private:
    /// From its length to its command: enough to say whether it is a message at all.
    static constexpr std::size_t minimum = TunnelMessage::length_size + 5;

    static std::uint32_t number(std::span<const std::byte> bytes, std::size_t at) noexcept
    {
        return std::to_integer<std::uint32_t>(bytes[at]) << 8 | std::to_integer<std::uint32_t>(bytes[at + 1]);
    }

    static std::optional<TunnelCommand> command(std::span<const std::byte> bytes) noexcept;

    /// The size of the message that begins there; 0 while that cannot be said. What no message can begin with is an
    /// error as soon as that is certain, so that nobody waits for the rest of garbage.
    static Result<std::size_t> whole_size(std::span<const std::byte> bytes);

    template <class Handle>
    Result<void> decode(std::span<const std::byte> bytes, Handle& handle)
    {
        const TunnelMessage message(*command(bytes), TunnelAddress::decode(bytes.subspan(7)),
                                    TunnelAddress::decode(bytes.subspan(13)), bytes.subspan(19),
                                    static_cast<std::uint16_t>(number(bytes, 2)));
        return handle(message);
    }

    Result<void> failed(Error error)
    {
        failure_ = error;
        pending_.clear();
        return tl::unexpected<Error>(std::move(error));
    }

    std::vector<std::byte> pending_;  ///< The beginning of a message.
    std::optional<Error> failure_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/tunnel/message.hpp>
#endif
