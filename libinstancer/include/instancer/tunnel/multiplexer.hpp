// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/detail/tunnel/link_protocol.hpp>
#include <instancer/detail/tunnel/receive_buffers.hpp>
#include <instancer/detail/tunnel/send_scheduler.hpp>
#include <instancer/detail/tunnel/session_deadlines.hpp>
#include <instancer/detail/tunnel/tunnel_session_table.hpp>
#include <instancer/result.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_observer.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
#include <instancer/tunnel/tunnel_role.hpp>
#include <instancer/tunnel/tunnel_session.hpp>

namespace instancer {

/// One end of a link between server and agent, without I/O and clock: bytes of the link go in and come out, and
/// sessions are opened, read, written and ended. What it does by itself is due at `next_deadline`.
///
/// Two of our own kind say so in their greetings. Their sessions have half-close, and windows: no session is ever sent
/// more than it has room for, so that none holds up another and nothing is lost. With anybody else a full session holds
/// up the link for a moment, and is disconnected if others wait for it.
class TunnelMultiplexer {
public:
    /// The clock of all limits.
    using Clock = TunnelSession::Clock;
    /// A moment on it.
    using TimePoint = Clock::time_point;

    /// Which end of the tunnel it is.
    using Role = TunnelRole;

    /// `displaced`: an agent that the server has told so, and that says so in its greeting.
    ///
    /// Lifetime: `observer` must outlive this.
    TunnelMultiplexer(Role role, TunnelOptions options, TunnelAddress local, TunnelAddress remote,
                      TunnelObserver& observer, TimePoint now, bool displaced = false);
    TunnelMultiplexer(const TunnelMultiplexer&) = delete;
    TunnelMultiplexer& operator=(const TunnelMultiplexer&) = delete;

    /// What both ends have agreed on so far; holds for sessions that are opened from now on.
    bool negotiated() const noexcept { return link_.negotiated(); }

    /// Whether the other end has said anything.
    bool heard() const noexcept { return heard_; }

    /// At the server: whether the agent says that it was displaced.
    bool peer_was_displaced() const noexcept { return link_.peer_was_displaced(); }

    /// At the server: tells an agent of our own kind that the one called so serves in its place.
    void displace(std::string_view by, TimePoint now) { link_.displace(by, now); }

    /// At the server: sends what an agent of our own kind answers, and any other one takes without harm.
    void ask(TimePoint now) { link_.ask(now); }

    // The link.

    /// Takes bytes that came over the link.
    ///
    /// Errors: Errc::rejected; the link is to be ended then.
    Result<void> receive(std::span<const std::byte> bytes, TimePoint now);

    /// Whether the link may be read: not while a session is full and the other end cannot be told.
    bool may_receive() const noexcept { return !buffers_.holds_up_link(); }

    /// Bytes for the link.
    std::span<const std::byte> output() const noexcept { return link_.output().front(); }

    /// So many of them have been sent.
    void sent(std::size_t count, TimePoint now)
    {
        now_ = now;
        link_.output().consume(count);
        if (link_.output().size() <= detail::SendScheduler::output_limit / 2)
            grant();
    }

    /// When `advance` has something to do, unless something happens before.
    TimePoint next_deadline() const;

    /// Does what is due.
    ///
    /// Errors: Errc::timeout when the other end gives no sign of life; the link is to be ended then.
    Result<void> advance(TimePoint now);

    /// Ends all sessions: the link is gone.
    void lose();

    // Sessions.

    /// Opens a session to `target`, at the server. `user` is kept unless somebody else has that address on this link.
    TunnelSessionPtr open(std::optional<TunnelAddress> user, TunnelAddress target, std::string name, TimePoint now);

    /// Sends what may be sent now.
    ///
    /// Errors: asio::error::would_block; asio::error::connection_reset, asio::error::broken_pipe when the other end is
    /// gone.
    Result<std::size_t> send(const TunnelSessionPtr& shared, std::span<const std::byte> data, TimePoint now);

    /// Whether `send` may do more than block.
    bool writable(const TunnelSession& session) const noexcept
    {
        return session.broken_ || session.peer_closed_ || detail::SendScheduler::may_send(session);
    }

    /// Reads what is there; 0 is the end.
    ///
    /// Errors: asio::error::would_block, asio::error::connection_reset.
    Result<std::size_t> read(const TunnelSessionPtr& session, std::span<std::byte> buffer, TimePoint now);

    /// Says that no more is sent. Where the protocol cannot say it: the server keeps it to itself until the target has
    /// ended or been silent for a while; of the agent it is the end of the session.
    void finish(const TunnelSessionPtr& session, TimePoint now);

    /// Lets go of a session; if it was not over, the other end is told that it is, and why.
    void close(const TunnelSessionPtr& session, std::string_view reason, TimePoint now);

    /// Ends a session by an operator's wish. False when there is none of that address or name.
    bool disconnect(std::string_view address, TimePoint now);

    /// The sessions that are going on.
    std::vector<TunnelSessionPtr> sessions() const { return table_.active(); }

private:
    using Deadline = detail::SessionDeadline;

    // What comes in.

    Result<void> handle(const TunnelMessage& message);

    void greet(std::string_view text);

    Result<void> take_data(const TunnelMessage& message);

    /// The session that a message for an unknown one opens at the agent; none where it opens none.
    TunnelSessionPtr take_opening(const TunnelMessage& message);

    /// The other end has answered the opening: it takes data.
    void note_answer(const TunnelSessionPtr& session);

    /// Sees to it that no more is kept than is allowed, after more has come for the session.
    void limit_input(const TunnelSessionPtr& session, detail::ReceiveBuffers::Verdict verdict);

    void take_disconnect(const TunnelMessage& message);

    Result<void> take_finish(const TunnelMessage& message);

    Result<void> take_window(const TunnelMessage& message);

    // Sessions.

    /// Of sessions that are over, some are still being closed here, and some have yet to be forgotten by the server.
    bool is_full() const noexcept
    {
        return options_.max_sessions > 0 && std::max(buffers_.sessions(), table_.size()) >= options_.max_sessions;
    }

    TunnelSessionPtr add(TunnelAddress user, TunnelAddress target, std::string name);

    void tell(const TunnelSession& session, TunnelCommand command, std::span<const std::byte> data = {})
    {
        link_.send(session, command, data, now_);
    }

    /// Has the agent connect before there is data.
    void introduce(const TunnelSessionPtr& session)
    {
        tell(*session, TunnelCommand::forward);
        note_opened(session);
    }

    void note_opened(const TunnelSessionPtr& session)
    {
        session->opened_ = true;
        const bool is_ready = session->negotiated() || session->answered_;
        deadlines_.set(session, Deadline::hold, is_ready ? TunnelSession::never : now_ + options_.hold_back);
    }

    void linger(const TunnelSessionPtr& session)
    {
        deadlines_.set(session, Deadline::linger, now_ + options_.half_close_hold);
    }

    /// How much of `size` bytes the session may send, where the link has `room`.
    static std::size_t allowance(const TunnelSession& session, std::size_t room, std::size_t size) noexcept;

    void grant() { scheduler_.grant(link_.output().size()); }

    /// The other end is ready for data of the session again.
    void resume(const TunnelSessionPtr& session)
    {
        scheduler_.resume(session);
        grant();
    }

    void stop_sending(TunnelSession& session)
    {
        scheduler_.leave(session);
        grant();
    }

    /// The session no longer holds up the link.
    void release(const TunnelSessionPtr& session)
    {
        if (buffers_.release(*session))
            deadlines_.clear(session, Deadline::stall);
    }

    // Ends.

    /// Tells the other end that the session is over.
    void disconnect(TunnelSession& session, std::string_view reason);

    void break_off(const TunnelSessionPtr& session)
    {
        session->broken_ = true;
        stop_sending(*session);
        session->change();
    }

    void end(const TunnelSessionPtr& session, std::string_view reason);

    /// Does what is due for the session.
    void expire(const TunnelSessionPtr& session);

    const TunnelOptions options_;
    TunnelObserver& observer_;
    TimePoint now_;
    bool heard_ = false;
    TunnelMessageDecoder decoder_;
    detail::LinkProtocol link_;
    detail::TunnelSessionTable table_;
    detail::ReceiveBuffers buffers_;
    detail::SendScheduler scheduler_;
    detail::SessionDeadlines deadlines_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/tunnel/multiplexer.hpp>
#endif
