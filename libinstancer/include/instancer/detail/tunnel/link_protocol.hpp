// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <instancer/detail/container/byte_queue.hpp>
#include <instancer/detail/tunnel/keep_alive.hpp>
#include <instancer/detail/tunnel/tunnel_greeting.hpp>
#include <instancer/result.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_observer.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
#include <instancer/tunnel/tunnel_role.hpp>
#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer::detail {

/// What the two ends of a link tell each other about the link itself: what they are, and that they are alive. And how
/// every message goes out: whom it names as sender and receiver, and its number.
class LinkProtocol {
public:
    using TimePoint = KeepAlive::TimePoint;

    /// The original reads at most this much of a user at once, so its other end is known to take it in one message.
    static constexpr std::size_t foreign_data = 8192;

    /// Greets the other end.
    ///
    /// Lifetime: `observer` must outlive this.
    LinkProtocol(TunnelRole role, const TunnelOptions& options, TunnelAddress local, TunnelAddress remote,
                 TunnelObserver& observer, TimePoint now, bool displaced);

    bool is_server() const noexcept { return role_ == TunnelRole::server; }

    /// Whether both ends know that the other one is of our own kind.
    bool negotiated() const noexcept { return peer_window_.has_value(); }

    /// The window of each session that is opened from now on; 0 while nothing is negotiated.
    std::uint32_t peer_window() const noexcept { return peer_window_.value_or(0); }

    bool peer_was_displaced() const noexcept { return peer_was_displaced_; }

    // What goes out.

    ByteQueue& output() noexcept { return output_; }
    const ByteQueue& output() const noexcept { return output_; }

    /// Whether the other end has asked for so much that it cannot be reading.
    bool is_flooded() const noexcept { return output_.size() > max_output; }

    void send(TunnelCommand command, std::string_view text, TimePoint now)
    {
        emit(TunnelMessage(command, local_, remote_, bytes_of(text)), now);
    }

    /// A message about a session.
    void send(const TunnelSession& session, TunnelCommand command, std::span<const std::byte> data, TimePoint now)
    {
        if (is_server())
            emit(TunnelMessage(command, session.user(), session.target(), data), now);
        else
            emit(TunnelMessage(command, session.target(), session.user(), data), now);
    }

    /// Data of a session, in messages that the other end takes.
    void send_data(const TunnelSession& session, std::span<const std::byte> data, TimePoint now);

    /// Back to where `question` came from.
    void answer(const TunnelMessage& question, TunnelCommand command, std::string_view text, TimePoint now)
    {
        emit(TunnelMessage(command, question.to, question.from, bytes_of(text)), now);
    }

    /// Says that we speak windows and half-close.
    void offer(bool displaced, TimePoint now);

    /// Tells an agent of our own kind that the one called so serves in its place.
    void displace(std::string_view by, TimePoint now);

    /// Sends what an agent of our own kind answers, and any other one takes without harm.
    void ask(TimePoint now);

    // What comes in.

    void received(TimePoint now) noexcept { keep_alive_.received(now); }

    /// What the message's session is called.
    TunnelAddress user_of(const TunnelMessage& message) const noexcept
    {
        return is_server() ? message.to : message.from;
    }

    /// True when with this greeting both ends are negotiated. At the server, `offer` says so to the agent: sessions
    /// that it hears of before stay without windows.
    bool take_greeting(std::string_view text);

    void take_control(const TunnelMessage& message, TimePoint now);

    Result<void> take_keep_alive(const TunnelMessage& message, TimePoint now);

    // Signs of life, for which the agent asks.

    TimePoint next_deadline() const noexcept { return is_server() ? TimePoint::max() : keep_alive_.next_deadline(); }

    /// `is_read` as of KeepAlive.
    ///
    /// Errors: Errc::timeout when the other end gives no sign of life.
    Result<void> advance(TimePoint now, bool is_read);

private:
    /// Any number of short messages may wait for the link; at this size the other end asks without ever reading.
    static constexpr std::size_t max_output = 4 * 1024 * 1024;

    /// What anybody takes for a greeting, and nobody for more.
    static constexpr std::string_view foreign_greeting = "instancer";

    static std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

    void emit(TunnelMessage message, TimePoint now);

    /// The time of the day in seconds, and the milliseconds beside them. The other end sends it back as it is.
    static std::array<std::byte, TunnelAddress::wire_size> timestamp(std::chrono::system_clock::time_point now);

    const TunnelRole role_;
    const std::size_t window_;
    const TunnelAddress local_, remote_;
    TunnelObserver& observer_;
    ByteQueue output_;
    std::uint16_t sequence_ = 0;
    KeepAlive keep_alive_;
    std::optional<std::uint32_t> peer_window_;
    bool peer_was_displaced_ = false;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/tunnel/link_protocol.hpp>
#endif
