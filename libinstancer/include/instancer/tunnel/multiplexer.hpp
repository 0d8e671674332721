// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <asio/error.hpp>

#include <instancer/detail/container/byte_queue.hpp>
#include <instancer/detail/tunnel/send_scheduler.hpp>
#include <instancer/detail/tunnel/tunnel_greeting.hpp>
#include <instancer/detail/tunnel/tunnel_names.hpp>
#include <instancer/result.hpp>
#include <instancer/tunnel/message.hpp>
#include <instancer/tunnel/tunnel_observer.hpp>
#include <instancer/tunnel/tunnel_options.hpp>
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
    enum class Role {
        server,  ///< Opens sessions for users.
        agent,   ///< Connects sessions to targets.
    };

    /// `displaced`: an agent that the server has told so, and that says so in its greeting.
    ///
    /// Lifetime: `observer` must outlive this.
    TunnelMultiplexer(Role role, TunnelOptions options, TunnelAddress local, TunnelAddress remote,
                      TunnelObserver& observer, TimePoint now, bool displaced = false);
    TunnelMultiplexer(const TunnelMultiplexer&) = delete;
    TunnelMultiplexer& operator=(const TunnelMultiplexer&) = delete;

    /// What both ends have agreed on so far; holds for sessions that are opened from now on.
    bool negotiated() const noexcept { return negotiated_; }

    /// Whether the other end has said anything.
    bool heard() const noexcept { return heard_; }

    /// At the server: whether the agent says that it was displaced.
    bool peer_was_displaced() const noexcept { return peer_was_displaced_; }

    /// At the server: tells an agent of our own kind that the one called so serves in its place.
    void displace(std::string_view by, TimePoint now)
    {
        now_ = now;
        if (negotiated_)
            emit(TunnelCommand::greeting, local_, remote_, detail::TunnelGreeting::displacement(by));
    }

    /// At the server: sends what an agent of our own kind answers, and any other one takes without harm.
    void ask(TimePoint now)
    {
        now_ = now;
        if (negotiated_)
            emit(TunnelCommand::control, local_, remote_, "are you there?");
        else
            emit(TunnelCommand::greeting, local_, remote_, foreign_greeting);
    }

    // The link.

    /// Takes bytes that came over the link.
    ///
    /// Errors: Errc::rejected; the link is to be ended then.
    Result<void> receive(std::span<const std::byte> bytes, TimePoint now);

    /// Whether the link may be read: not while a session is full and the other end cannot be told.
    bool may_receive() const noexcept { return over_limit_ == 0; }

    /// Bytes for the link.
    std::span<const std::byte> output() const noexcept { return output_.front(); }

    /// So many of them have been sent.
    void sent(std::size_t count, TimePoint now)
    {
        now_ = now;
        output_.consume(count);
        if (output_.size() <= detail::SendScheduler::output_limit / 2)
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
    std::vector<TunnelSessionPtr> sessions() const;

private:
    /// What the original reads of a user at most, and so what its other end is known to take.
    static constexpr std::size_t foreign_data = 8192;

    /// Of short messages any number may wait for the link; who lets it come to this asks without ever reading.
    static constexpr std::size_t max_output = 4 * 1024 * 1024;

    /// What anybody takes for a greeting, and nobody for more.
    static constexpr const char* foreign_greeting = "instancer";

    static std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

    // What comes in.

    Result<void> handle(const TunnelMessage& message);

    std::string offer(bool displaced) const
    {
        return detail::TunnelGreeting::offer(options_.session_buffer, displaced);
    }

    void greet(std::string_view text);

    /// By whom the message's session is called.
    TunnelAddress user_of(const TunnelMessage& message) const noexcept
    {
        return role_ == Role::server ? message.to : message.from;
    }

    TunnelSessionPtr find(TunnelAddress user) const
    {
        const auto found = sessions_.find(user);
        return found == sessions_.end() ? nullptr : found->second;
    }

    Result<void> take_data(const TunnelMessage& message);

    /// The session that a message for an unknown one opens at the agent; none where it opens none.
    TunnelSessionPtr take_opening(const TunnelMessage& message);

    /// Of sessions that are over, some are still being closed here, and some have yet to be forgotten by the server.
    bool is_full() const noexcept
    {
        return options_.max_sessions > 0 && std::max(kept_.size(), sessions_.size()) >= options_.max_sessions;
    }

    TunnelSessionPtr add(TunnelAddress user, TunnelAddress target, std::string name);

    /// Sees to it that no more is kept than is allowed, after more has come for a session.
    void limit_input(const TunnelSessionPtr& session);

    void end_fullest();

    void drop_input(TunnelSession& session)
    {
        buffered_ -= session.input_.size();
        session.input_.clear();
    }

    void take_disconnect(const TunnelMessage& message);

    /// Whether a text says that a session did not end in order, as the name of an error does.
    static bool is_reset(std::string_view reason) noexcept;

    void take_control(const TunnelMessage& message)
    {
        const auto answer = observer_.control(message.text());
        if (role_ == Role::agent)
            emit(TunnelCommand::control, message.to, message.from, answer);
    }

    Result<void> take_keep_alive(const TunnelMessage& message);

    Result<void> take_finish(const TunnelMessage& message);

    Result<void> take_window(const TunnelMessage& message);

    // What goes out.

    void emit(TunnelCommand command, TunnelAddress from, TunnelAddress to, std::string_view text)
    {
        emit(command, from, to, bytes_of(text));
    }

    void emit(TunnelCommand command, TunnelAddress from, TunnelAddress to, std::span<const std::byte> data);

    void emit_to_peer(const TunnelSession& session, TunnelCommand command, std::span<const std::byte> data = {});

    /// Has the agent connect before there is data.
    void introduce(TunnelSession& session)
    {
        emit_to_peer(session, TunnelCommand::forward);
        note_opened(session);
    }

    void note_opened(TunnelSession& session)
    {
        session.opened_ = true;
        session.hold_until_ = session.negotiated() || session.answered_ ? TimePoint::max() : now_ + options_.hold_back;
    }

    /// Small amounts are gathered, and an end that is known needs no room any more.
    void give_credit(TunnelSession& session, std::size_t count);

    void grant() { scheduler_.grant(output_.size()); }

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

    // Ends, and what time brings.

    bool is_live(const TunnelSession& session) const
    {
        const auto found = sessions_.find(session.user());
        return found != sessions_.end() && found->second.get() == &session;
    }

    void forget(const TunnelSessionPtr& session)
    {
        if (is_live(*session))
            sessions_.erase(session->user());
    }

    /// Tells the other end. One of our kind answers, and only then is the address free again; of others stragglers may
    /// come for a while.
    void disconnect(const TunnelSessionPtr& session, std::string_view reason);

    void retire(const TunnelSessionPtr& session)
    {
        forget(session);
        names_.retire(session->user(), now_);
    }

    bool is_free(TunnelAddress user) const { return !sessions_.contains(user) && !names_.is_retired(user, now_); }

    TunnelAddress made_up()
    {
        auto name = names_.make_up();
        while (!is_free(name))
            name = names_.make_up();
        return name;
    }

    /// It no longer holds up the link.
    void release(const TunnelSessionPtr& session)
    {
        if (!std::exchange(session->over_limit_, false))
            return;
        --over_limit_;
        session->stalled_at_ = TimePoint::max();
        if (!session->closed_)
            schedule(session);
    }

    void break_off(const TunnelSessionPtr& session)
    {
        session->broken_ = true;
        stop_sending(*session);
        session->change();
    }

    void expire(const TunnelSessionPtr& session);

    void end(const TunnelSessionPtr& session, std::string_view reason);

    void schedule(const TunnelSessionPtr& session);

    void unschedule(const TunnelSessionPtr& session)
    {
        if (const auto when = std::exchange(session->scheduled_, TimePoint::max()); when != TimePoint::max())
            deadlines_.erase({when, session});
    }

    Result<void> stay_alive();

    const Role role_;
    const TunnelOptions options_;
    const TunnelAddress local_, remote_;
    TunnelObserver& observer_;
    TunnelMessageDecoder decoder_;
    detail::ByteQueue output_;
    std::uint16_t sequence_ = 0;
    TimePoint now_;
    TimePoint last_traffic_;
    std::optional<TimePoint> asked_;     ///< For a sign of life, and nothing has come since.
    std::optional<TimePoint> asked_at_;  ///< The same, until that is answered.
    bool heard_ = false;
    bool negotiated_ = false;
    bool peer_was_displaced_ = false;
    std::uint32_t peer_window_ = 0;
    std::unordered_map<TunnelAddress, TunnelSessionPtr, TunnelAddress::Hash> sessions_;
    detail::TunnelNames names_;
    std::set<std::pair<TimePoint, TunnelSessionPtr>> deadlines_;
    detail::SendScheduler scheduler_;
    std::unordered_set<TunnelSessionPtr>
        kept_;                    ///< Sessions that have yet to be closed here, also those that are over.
    std::size_t buffered_ = 0;    ///< Their input.
    std::size_t over_limit_ = 0;  ///< Sessions that hold up the link.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/tunnel/multiplexer.hpp>
#endif
