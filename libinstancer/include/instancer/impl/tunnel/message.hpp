// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/detail/config.hpp>
#include <instancer/tunnel/message.hpp>

namespace instancer {

INSTANCER_DECL TunnelAddress TunnelAddress::decode(std::span<const std::byte> bytes) noexcept
{
    const auto at = [&](std::size_t i) { return std::to_integer<std::uint32_t>(bytes[i]); };
    return {at(0) << 24 | at(1) << 16 | at(2) << 8 | at(3), static_cast<std::uint16_t>(at(4) << 8 | at(5))};
}

INSTANCER_DECL void encode_tunnel_message(const TunnelMessage& message, std::vector<std::byte>& output)
{
    const auto put = [&](std::uint32_t value, int bytes) {
        while (bytes-- > 0)
            output.push_back(static_cast<std::byte>(value >> 8 * bytes));
    };
    const auto put_address = [&](const TunnelAddress& address) {
        put(address.address(), 4);
        put(address.port(), 2);
    };
    put(static_cast<std::uint32_t>(TunnelMessage::header_size + message.data.size()), 2);
    put(message.sequence, 2);
    for (const char letter : detail::tunnel_command_names[static_cast<std::size_t>(message.command)])
        output.push_back(static_cast<std::byte>(letter));
    put_address(message.from);
    put_address(message.to);
    output.insert(output.end(), message.data.begin(), message.data.end());
}

INSTANCER_DECL std::optional<TunnelCommand> TunnelMessageDecoder::command(std::span<const std::byte> bytes) noexcept
{
    const std::string_view name(reinterpret_cast<const char*>(bytes.data()) + 4, 3);
    const auto& names = detail::tunnel_command_names;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
        return std::nullopt;
    return static_cast<TunnelCommand>(found - names.begin());
}

INSTANCER_DECL Result<std::size_t> TunnelMessageDecoder::whole_size(std::span<const std::byte> bytes)
{
    if (bytes.size() < TunnelMessage::length_size)
        return 0;
    const auto length = number(bytes, 0);
    if (length < TunnelMessage::header_size)
        return fail(Errc::rejected, "a message has length " + std::to_string(length) + "; none is shorter than " +
                                        std::to_string(TunnelMessage::header_size));
    if (bytes.size() < minimum)
        return 0;
    if (!command(bytes))
        return fail(Errc::rejected, "a message has an unknown command");
    return TunnelMessage::length_size + length;
}

}  // namespace instancer
