// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <string>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/link_protocol.hpp>

namespace instancer::detail {

INSTANCER_DECL LinkProtocol::LinkProtocol(TunnelRole role, const TunnelOptions& options, TunnelAddress local,
                                          TunnelAddress remote, TunnelObserver& observer, TimePoint now, bool displaced)
    : role_(role),
      window_(options.session_buffer),
      local_(local),
      remote_(remote),
      observer_(observer),
      keep_alive_(options.keep_alive, options.answer_timeout, now)
{
    // Of the server, an agent of our own kind hears only once it has said what it is: from then on both are sure.
    if (is_server())
        send(TunnelCommand::greeting, foreign_greeting, now);
    else
        offer(displaced, now);
}

INSTANCER_DECL void LinkProtocol::send_data(const TunnelSession& session, std::span<const std::byte> data,
                                            TimePoint now)
{
    const auto most = session.negotiated() ? TunnelMessage::max_data : foreign_data;
    while (!data.empty()) {
        const auto part = data.first(std::min(data.size(), most));
        send(session, TunnelCommand::forward, part, now);
        data = data.subspan(part.size());
    }
}

INSTANCER_DECL void LinkProtocol::offer(bool displaced, TimePoint now)
{
    send(TunnelCommand::greeting, TunnelGreeting::offer(window_, displaced), now);
}

INSTANCER_DECL void LinkProtocol::displace(std::string_view by, TimePoint now)
{
    if (negotiated())
        send(TunnelCommand::greeting, TunnelGreeting::displacement(by), now);
}

INSTANCER_DECL void LinkProtocol::ask(TimePoint now)
{
    if (negotiated())
        send(TunnelCommand::control, "are you there?", now);
    else
        send(TunnelCommand::greeting, foreign_greeting, now);
}

INSTANCER_DECL bool LinkProtocol::take_greeting(std::string_view text)
{
    const auto greeting = TunnelGreeting::parse(text);
    if (!is_server() && greeting.displaced)
        observer_.displaced(greeting.by);
    if (!greeting.window || negotiated())
        return false;
    peer_window_ = greeting.window;
    peer_was_displaced_ = greeting.displaced;
    return true;
}

INSTANCER_DECL void LinkProtocol::take_control(const TunnelMessage& message, TimePoint now)
{
    const auto text = observer_.control(message.text());
    if (!is_server())
        answer(message, TunnelCommand::control, text, now);
}

INSTANCER_DECL Result<void> LinkProtocol::take_keep_alive(const TunnelMessage& message, TimePoint now)
{
    if (message.data.size() != TunnelAddress::wire_size)
        return fail(Errc::rejected,
                    "an ALV message has " + std::to_string(message.data.size()) + " bytes of data, not 6");
    if (is_server())
        answer(message, TunnelCommand::keep_alive, message.text(), now);
    else if (const auto time = keep_alive_.answered(now))
        observer_.round_trip(*time);
    return {};
}

INSTANCER_DECL Result<void> LinkProtocol::advance(TimePoint now, bool is_read)
{
    if (is_server())
        return {};
    switch (keep_alive_.advance(now, is_read)) {
    case KeepAlive::Due::nothing: break;
    case KeepAlive::Due::end: return fail(Errc::timeout, "the server gives no sign of life");
    case KeepAlive::Due::question: {
        const auto data = timestamp(std::chrono::system_clock::now());
        emit(TunnelMessage(TunnelCommand::keep_alive, remote_, remote_, data), now);
    }
    }
    return {};
}

INSTANCER_DECL void LinkProtocol::emit(TunnelMessage message, TimePoint now)
{
    // As the original counts.
    sequence_ = static_cast<std::uint16_t>((sequence_ + 1) % 65535);
    message.sequence = sequence_;
    keep_alive_.sent(now);
    encode_tunnel_message(message, output_.back());
}

INSTANCER_DECL std::array<std::byte, TunnelAddress::wire_size>
LinkProtocol::timestamp(std::chrono::system_clock::time_point now)
{
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    const auto seconds = static_cast<std::uint32_t>(time / 1000);
    const auto rest = static_cast<std::uint16_t>(time % 1000);
    std::array<std::byte, TunnelAddress::wire_size> data;
    for (std::size_t i = 0; i < 4; ++i)
        data[i] = static_cast<std::byte>(seconds >> (24 - 8 * i));
    data[4] = static_cast<std::byte>(rest >> 8);
    data[5] = static_cast<std::byte>(rest);
    return data;
}

}  // namespace instancer::detail
