// SPDX-License-Identifier: MIT
#pragma once

#include <system_error>

#include <instancer/detail/config.hpp>
#include <instancer/tunnel/multiplexer.hpp>

namespace instancer {

INSTANCER_DECL TunnelMultiplexer::TunnelMultiplexer(Role role, TunnelOptions options, TunnelAddress local,
                                                    TunnelAddress remote, TunnelObserver& observer, TimePoint now,
                                                    bool displaced)
    : role_(role), options_(options), local_(local), remote_(remote), observer_(observer), last_traffic_(now)
{
    // Of the server, an agent of our own kind hears only once it has said what it is: from then on both are sure.
    emit(TunnelCommand::greeting, local_, remote_, role == Role::agent ? offer(displaced) : foreign_greeting);
}

INSTANCER_DECL Result<void> TunnelMultiplexer::receive(std::span<const std::byte> bytes, TimePoint now)
{
    now_ = now;
    last_traffic_ = now;
    asked_.reset();
    auto done = decoder_.feed(bytes, [this](const TunnelMessage& message) { return handle(message); });
    if (done && output_.size() > max_output)
        return fail(Errc::rejected, "the other end asks for more than it takes");
    return done;
}

INSTANCER_DECL TunnelMultiplexer::TimePoint TunnelMultiplexer::next_deadline() const
{
    auto next = deadlines_.empty() ? TimePoint::max() : deadlines_.begin()->first;
    if (role_ == Role::agent)
        next = std::min(next, asked_ ? *asked_ + options_.answer_timeout : last_traffic_ + options_.keep_alive);
    return next;
}

INSTANCER_DECL Result<void> TunnelMultiplexer::advance(TimePoint now)
{
    now_ = now;
    while (!deadlines_.empty() && deadlines_.begin()->first <= now) {
        const auto session = deadlines_.begin()->second;
        deadlines_.erase(deadlines_.begin());
        session->scheduled_ = TimePoint::max();
        expire(session);
        schedule(session);
    }
    return role_ == Role::agent ? stay_alive() : Result<void>();
}

INSTANCER_DECL void TunnelMultiplexer::lose()
{
    for (const auto& [when, session] : std::exchange(deadlines_, {}))
        break_off(session);
    for (const auto& [user, session] : std::exchange(sessions_, {}))
        break_off(session);
    scheduler_.clear();
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::open(std::optional<TunnelAddress> user, TunnelAddress target,
                                                        std::string name, TimePoint now)
{
    now_ = now;
    const auto key = user && is_free(*user) ? *user : made_up();
    const auto session = add(key, target, std::move(name));
    if (negotiated_)
        introduce(*session);
    else
        session->hold_until_ = now_ + options_.hold_back;
    schedule(session);
    return session;
}

INSTANCER_DECL Result<std::size_t> TunnelMultiplexer::send(const TunnelSessionPtr& shared,
                                                           std::span<const std::byte> data, TimePoint now)
{
    now_ = now;
    auto& session = *shared;
    const auto room = scheduler_.take(session, output_.size());
    if (session.broken_)
        return fail(std::error_code(asio::error::connection_reset));
    // What an agent's target still says to a user who has left goes nowhere, while it is told what the user said.
    if (session.peer_closed_ && role_ == Role::agent)
        return data.size();
    if (session.peer_closed_ || session.output_ended_)
        return fail(std::error_code(asio::error::broken_pipe));
    if (session.is_held() || room == 0) {
        scheduler_.wait(shared);
        grant();
        return fail(std::error_code(asio::error::would_block));
    }
    auto count = std::min(room, data.size());
    if (session.negotiated())
        count = static_cast<std::size_t>(std::min<std::uint64_t>(count, session.credit_));
    else if (!session.opened_)
        count = std::min(count, foreign_data);
    session.credit_ -= session.negotiated() ? count : 0;
    const auto most = session.negotiated() ? TunnelMessage::max_data : foreign_data;
    for (auto rest = data.first(count); !rest.empty();) {
        const auto part = rest.first(std::min(rest.size(), most));
        emit_to_peer(session, TunnelCommand::forward, part);
        rest = rest.subspan(part.size());
    }
    if (!session.opened_)
        note_opened(session);
    schedule(shared);
    grant();
    return count;
}

INSTANCER_DECL Result<std::size_t> TunnelMultiplexer::read(const TunnelSessionPtr& session, std::span<std::byte> buffer,
                                                           TimePoint now)
{
    now_ = now;
    if (session->input_.empty()) {
        if (session->broken_)
            return fail(std::error_code(asio::error::connection_reset));
        if (session->input_ended_)
            return 0;
        return fail(std::error_code(asio::error::would_block));
    }
    const auto count = session->input_.read(buffer);
    buffered_ -= count;
    if (session->negotiated())
        give_credit(*session, count);
    else if (session->over_limit_ && session->input_.size() <= options_.session_buffer / 2)
        release(session);
    return count;
}

INSTANCER_DECL void TunnelMultiplexer::finish(const TunnelSessionPtr& session, TimePoint now)
{
    now_ = now;
    if (std::exchange(session->output_ended_, true) || !is_live(*session))
        return;
    if (session->negotiated()) {
        emit_to_peer(*session, TunnelCommand::finish);
        if (session->input_ended_)
            forget(session);
    } else if (role_ == Role::server) {
        if (!session->opened_)
            introduce(*session);
        session->linger_until_ = now_ + options_.half_close_hold;
        schedule(session);
    } else {
        emit_to_peer(*session, TunnelCommand::disconnect, bytes_of("target closed"));
        session->input_ended_ = true;
        retire(session);
        session->change();
    }
}

INSTANCER_DECL void TunnelMultiplexer::close(const TunnelSessionPtr& session, std::string_view reason, TimePoint now)
{
    now_ = now;
    if (std::exchange(session->closed_, true))
        return;
    session->changed_ = nullptr;
    session->undelivered_ = nullptr;
    drop_input(*session);
    kept_.erase(session);
    if (is_live(*session) && !session->ending_)
        disconnect(session, reason);
    unschedule(session);
    release(session);
    stop_sending(*session);
}

INSTANCER_DECL bool TunnelMultiplexer::disconnect(std::string_view address, TimePoint now)
{
    now_ = now;
    for (const auto& [user, session] : sessions_)
        if (!session->ending_ && (user.to_string() == address || session->name() == address)) {
            const auto ended = session;
            end(ended, "disconnected by system");
            return true;
        }
    return false;
}

INSTANCER_DECL std::vector<TunnelSessionPtr> TunnelMultiplexer::sessions() const
{
    std::vector<TunnelSessionPtr> all;
    for (const auto& [user, session] : sessions_)
        if (!session->ending_)
            all.push_back(session);
    std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a->user() < b->user(); });
    return all;
}

INSTANCER_DECL Result<void> TunnelMultiplexer::handle(const TunnelMessage& message)
{
    heard_ = true;
    switch (message.command) {
    case TunnelCommand::greeting: greet(message.text()); return {};
    case TunnelCommand::forward: return take_data(message);
    case TunnelCommand::disconnect: take_disconnect(message); return {};
    case TunnelCommand::control: take_control(message); return {};
    case TunnelCommand::keep_alive: return take_keep_alive(message);
    case TunnelCommand::finish: return take_finish(message);
    case TunnelCommand::window: return take_window(message);
    }
    return {};
}

INSTANCER_DECL void TunnelMultiplexer::greet(std::string_view text)
{
    const auto greeting = detail::TunnelGreeting::parse(text);
    if (role_ == Role::agent && greeting.displaced)
        observer_.displaced(greeting.by);
    if (!greeting.window || negotiated_)
        return;
    peer_window_ = *greeting.window;
    peer_was_displaced_ = greeting.displaced;
    negotiated_ = true;
    if (role_ == Role::server) {
        // What the agent hears of from now on is as negotiated; sessions that began before are not.
        for (const auto& [user, session] : sessions_)
            if (!session->opened_) {
                introduce(*session);
                schedule(session);
            }
        emit(TunnelCommand::greeting, local_, remote_, offer(false));
    }
    observer_.negotiated();
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_data(const TunnelMessage& message)
{
    const auto user = user_of(message);
    auto session = find(user);
    if (!session)
        session = take_opening(message);
    if (!session || session->ending_)
        return {};
    if (session->input_ended_ && !message.data.empty())
        return fail(Errc::rejected, "data came after the end of session " + user.to_string());
    session->input_.append(message.data);
    buffered_ += message.data.size();
    if (session->negotiated() && session->input_.size() > options_.session_buffer)
        return fail(Errc::rejected, "more came for session " + user.to_string() + " than its window allows");
    if (!std::exchange(session->answered_, true) && session->opened_) {
        session->hold_until_ = TimePoint::max();
        resume(session);
    }
    if (session->linger_until_ != TimePoint::max())
        session->linger_until_ = now_ + options_.half_close_hold;
    limit_input(session);
    schedule(session);
    session->change();
    return {};
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::take_opening(const TunnelMessage& message)
{
    const auto user = user_of(message);
    // What opens a session that was agreed on is empty.
    if (role_ == Role::server || names_.is_retired(user, now_) || (negotiated_ && !message.data.empty())) {
        // Who does not know yet, or has forgotten, that it is over.
        if (!negotiated_)
            emit(TunnelCommand::disconnect, message.to, message.from, "remote disconnected already");
        return nullptr;
    }
    if (is_full()) {
        emit(TunnelCommand::disconnect, message.to, message.from,
             "EMFILE the agent has " + std::to_string(options_.max_sessions) + " sessions already");
        if (!negotiated_)
            names_.retire(user, now_);
        observer_.session_refused();
        return nullptr;
    }
    const auto session = add(user, message.to, std::string());
    session->opened_ = true;
    observer_.session_opened(session);
    return session;
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::add(TunnelAddress user, TunnelAddress target, std::string name)
{
    const auto session = std::make_shared<TunnelSession>(user, target, std::move(name), negotiated_);
    session->credit_ = peer_window_;
    sessions_.emplace(user, session);
    kept_.insert(session);
    return session;
}

INSTANCER_DECL void TunnelMultiplexer::limit_input(const TunnelSessionPtr& session)
{
    const bool is_too_much = buffered_ > std::max(options_.total_buffer, options_.session_buffer);
    if (session->negotiated()) {
        if (is_too_much)
            end_fullest();
    } else if ((is_too_much || session->input_.size() > options_.session_buffer) && !session->over_limit_) {
        session->over_limit_ = true;
        ++over_limit_;
        session->stalled_at_ = now_ + options_.stall_timeout;
    }
}

INSTANCER_DECL void TunnelMultiplexer::end_fullest()
{
    const auto fullest = *std::max_element(
        kept_.begin(), kept_.end(), [](const auto& a, const auto& b) { return a->input_.size() < b->input_.size(); });
    end(fullest, "ENOBUFS too much is kept for sessions whose receivers are slow");
}

INSTANCER_DECL void TunnelMultiplexer::take_disconnect(const TunnelMessage& message)
{
    auto session = find(user_of(message));
    if (!session && message.data.size() == TunnelAddress::wire_size)
        session = find(TunnelAddress::decode(message.data));
    if (!session)
        return;
    if (session->ending_)
        return forget(session);
    const bool is_address = message.data.size() == TunnelAddress::wire_size && !is_reset(message.text());
    const auto reason = is_address ? std::string_view() : message.text();
    if (session->negotiated())
        emit_to_peer(*session, TunnelCommand::disconnect);
    forget(session);
    if (is_reset(reason)) {
        observer_.session_disconnected(*session, reason);
        session->broken_ = true;
    } else {
        session->input_ended_ = true;
        session->peer_closed_ = true;
        // A target that has everything and stays is let go some time. A user may stay, as with any server that has
        // closed: what is still on its way must not be lost.
        session->linger_until_ = role_ == Role::agent ? now_ + options_.half_close_hold : TimePoint::max();
        schedule(session);
    }
    stop_sending(*session);
    session->change();
}

INSTANCER_DECL bool TunnelMultiplexer::is_reset(std::string_view reason) noexcept
{
    const auto is_name = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); };
    const auto word = reason.substr(0, reason.find(' '));
    return (word.size() > 3 && word[0] == 'E' && std::all_of(word.begin(), word.end(), is_name)) ||
           reason == "disconnected by system";
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_keep_alive(const TunnelMessage& message)
{
    if (message.data.size() != TunnelAddress::wire_size)
        return fail(Errc::rejected,
                    "an ALV message has " + std::to_string(message.data.size()) + " bytes of data, not 6");
    if (role_ == Role::server)
        emit(TunnelCommand::keep_alive, message.to, message.from, message.text());
    else if (asked_at_)
        observer_.round_trip(now_ - *std::exchange(asked_at_, std::nullopt));
    return {};
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_finish(const TunnelMessage& message)
{
    const auto session = find(user_of(message));
    if (!negotiated_ || (session && !session->negotiated()))
        return fail(Errc::rejected, "a FIN message came that was not agreed on");
    if (!session)
        return {};
    // Who has heard our end too has forgotten the session by now, and answers nothing more.
    if (session->output_ended_)
        forget(session);
    if (session->ending_)
        return {};
    session->input_ended_ = true;
    session->change();
    return {};
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_window(const TunnelMessage& message)
{
    if (!negotiated_ || message.data.size() != 4)
        return fail(Errc::rejected, "a WND message came that was not agreed on");
    const auto session = find(user_of(message));
    if (!session || session->ending_ || !session->negotiated())
        return {};
    std::uint32_t credit = 0;
    for (const auto byte : message.data)
        credit = credit << 8 | std::to_integer<std::uint32_t>(byte);
    session->credit_ += credit;
    resume(session);
    return {};
}

INSTANCER_DECL void TunnelMultiplexer::emit(TunnelCommand command, TunnelAddress from, TunnelAddress to,
                                            std::span<const std::byte> data)
{
    // As the original counts.
    sequence_ = static_cast<std::uint16_t>((sequence_ + 1) % 65535);
    last_traffic_ = std::max(last_traffic_, now_);
    encode_tunnel_message(TunnelMessage(command, from, to, data, sequence_), output_.back());
}

INSTANCER_DECL void TunnelMultiplexer::emit_to_peer(const TunnelSession& session, TunnelCommand command,
                                                    std::span<const std::byte> data)
{
    if (role_ == Role::server)
        emit(command, session.user(), session.target(), data);
    else
        emit(command, session.target(), session.user(), data);
}

INSTANCER_DECL void TunnelMultiplexer::give_credit(TunnelSession& session, std::size_t count)
{
    session.consumed_ += count;
    if (session.consumed_ < options_.session_buffer / 2 || session.input_ended_ || !is_live(session))
        return;
    const auto credit = static_cast<std::uint32_t>(std::exchange(session.consumed_, 0));
    std::array<std::byte, 4> bytes;
    for (int i = 0; i < 4; ++i)
        bytes[static_cast<std::size_t>(i)] = static_cast<std::byte>(credit >> (24 - 8 * i));
    emit_to_peer(session, TunnelCommand::window, bytes);
}

INSTANCER_DECL void TunnelMultiplexer::disconnect(const TunnelSessionPtr& session, std::string_view reason)
{
    if (session->opened_)
        emit_to_peer(*session, TunnelCommand::disconnect, bytes_of(reason));
    if (!session->opened_)
        forget(session);
    else if (!session->negotiated())
        retire(session);
    else
        session->ending_ = true;
}

INSTANCER_DECL void TunnelMultiplexer::expire(const TunnelSessionPtr& session)
{
    if (session->hold_until_ <= now_) {
        if (!session->opened_) {
            introduce(*session);
        } else {
            session->hold_until_ = TimePoint::max();
            resume(session);
        }
    }
    if (session->stalled_at_ <= now_) {
        session->stalled_at_ = now_ + options_.stall_timeout;
        // Whom nobody waits for may take its time.
        if (sessions_.size() > (is_live(*session) ? 1 : 0))
            end(session, "too slow: others wait for it");
    }
    if (session->linger_until_ <= now_) {
        session->linger_until_ = now_ + options_.half_close_hold;
        if (!session->delivers())
            end(session, session->peer_closed_ ? "" : "nothing came after its half-close");
    }
}

INSTANCER_DECL void TunnelMultiplexer::end(const TunnelSessionPtr& session, std::string_view reason)
{
    if (is_live(*session))
        disconnect(session, reason);
    if (!reason.empty())
        observer_.session_disconnected(*session, reason);
    drop_input(*session);
    release(session);
    session->linger_until_ = session->hold_until_ = TimePoint::max();
    break_off(session);
}

INSTANCER_DECL void TunnelMultiplexer::schedule(const TunnelSessionPtr& session)
{
    const auto deadline = session->deadline();
    if (deadline == session->scheduled_)
        return;
    unschedule(session);
    if (deadline == TimePoint::max())
        return;
    session->scheduled_ = deadline;
    deadlines_.emplace(deadline, session);
}

INSTANCER_DECL Result<void> TunnelMultiplexer::stay_alive()
{
    if (!may_receive())
        asked_.reset();
    else if (asked_ && now_ >= *asked_ + options_.answer_timeout)
        return fail(Errc::timeout, "the server gives no sign of life");
    if (asked_ || now_ < last_traffic_ + options_.keep_alive)
        return {};
    const auto time = std::chrono::system_clock::now().time_since_epoch();
    const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    const auto seconds = static_cast<std::uint32_t>(milliseconds / 1000);
    const auto rest = static_cast<std::uint16_t>(milliseconds % 1000);
    std::array<std::byte, TunnelAddress::wire_size> data;
    for (std::size_t i = 0; i < 4; ++i)
        data[i] = static_cast<std::byte>(seconds >> (24 - 8 * i));
    data[4] = static_cast<std::byte>(rest >> 8);
    data[5] = static_cast<std::byte>(rest);
    emit(TunnelCommand::keep_alive, remote_, remote_, data);
    asked_ = asked_at_ = now_;
    return {};
}

}  // namespace instancer
