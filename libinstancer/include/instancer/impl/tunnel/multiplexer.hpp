// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <system_error>
#include <utility>

#include <asio/error.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/tunnel/disconnect_reason.hpp>
#include <instancer/detail/tunnel/window_credit.hpp>
#include <instancer/tunnel/multiplexer.hpp>

namespace instancer {

INSTANCER_DECL TunnelMultiplexer::TunnelMultiplexer(Role role, TunnelOptions options, TunnelAddress local,
                                                    TunnelAddress remote, TunnelObserver& observer, TimePoint now,
                                                    bool displaced)
    : options_(options),
      observer_(observer),
      now_(now),
      link_(role, options, local, remote, observer, now, displaced),
      buffers_(options.session_buffer, options.total_buffer)
{
}

INSTANCER_DECL Result<void> TunnelMultiplexer::receive(std::span<const std::byte> bytes, TimePoint now)
{
    now_ = now;
    link_.received(now);
    auto done = decoder_.feed(bytes, [this](const TunnelMessage& message) { return handle(message); });
    if (done && link_.is_flooded())
        return fail(Errc::rejected, "the other end asks for more than it takes");
    return done;
}

INSTANCER_DECL TunnelMultiplexer::TimePoint TunnelMultiplexer::next_deadline() const
{
    return std::min(deadlines_.next(), link_.next_deadline());
}

INSTANCER_DECL Result<void> TunnelMultiplexer::advance(TimePoint now)
{
    now_ = now;
    while (const auto session = deadlines_.due(now))
        expire(session);
    return link_.advance(now, may_receive());
}

INSTANCER_DECL void TunnelMultiplexer::lose()
{
    for (const auto& session : deadlines_.take_all())
        break_off(session);
    for (const auto& session : table_.take_all())
        break_off(session);
    scheduler_.clear();
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::open(std::optional<TunnelAddress> user, TunnelAddress target,
                                                        std::string name, TimePoint now)
{
    now_ = now;
    auto session = add(table_.choose_name(user, now), target, std::move(name));
    if (negotiated())
        introduce(session);
    else
        deadlines_.set(session, Deadline::hold, now + options_.hold_back);
    return session;
}

INSTANCER_DECL Result<std::size_t> TunnelMultiplexer::send(const TunnelSessionPtr& shared,
                                                           std::span<const std::byte> data, TimePoint now)
{
    now_ = now;
    auto& session = *shared;
    const auto room = scheduler_.take(session, link_.output().size());
    if (session.broken_)
        return fail(std::error_code(asio::error::connection_reset));
    // What an agent's target still says to a user who has left goes nowhere, while it is told what the user said.
    if (session.peer_closed_ && !link_.is_server())
        return data.size();
    if (session.peer_closed_ || session.output_ended_)
        return fail(std::error_code(asio::error::broken_pipe));
    if (session.is_held() || room == 0) {
        scheduler_.wait(shared);
        grant();
        return fail(std::error_code(asio::error::would_block));
    }
    const auto count = allowance(session, room, data.size());
    session.credit_ -= session.negotiated() ? count : 0;
    link_.send_data(session, data.first(count), now);
    if (!session.opened_)
        note_opened(shared);
    grant();
    return count;
}

INSTANCER_DECL std::size_t TunnelMultiplexer::allowance(const TunnelSession& session, std::size_t room,
                                                        std::size_t size) noexcept
{
    const auto count = std::min(room, size);
    if (session.negotiated())
        return static_cast<std::size_t>(std::min<std::uint64_t>(count, session.credit_));
    return session.opened_ ? count : std::min(count, detail::LinkProtocol::foreign_data);
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
    const auto count = buffers_.read(*session, buffer);
    if (const auto credit = buffers_.take_credit(*session); credit != 0 && table_.contains(*session))
        tell(*session, TunnelCommand::window, detail::WindowCredit::encode(credit));
    if (buffers_.has_room(*session))
        release(session);
    return count;
}

INSTANCER_DECL void TunnelMultiplexer::finish(const TunnelSessionPtr& session, TimePoint now)
{
    now_ = now;
    if (std::exchange(session->output_ended_, true) || !table_.contains(*session))
        return;
    if (session->negotiated()) {
        tell(*session, TunnelCommand::finish);
        if (session->input_ended_)
            table_.erase(*session);
    } else if (link_.is_server()) {
        if (!session->opened_)
            introduce(session);
        linger(session);
    } else {
        disconnect(*session, "target closed");
        session->input_ended_ = true;
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
    buffers_.remove(session);
    if (table_.contains(*session) && !session->ending_)
        disconnect(*session, reason);
    release(session);
    deadlines_.remove(session);
    stop_sending(*session);
}

INSTANCER_DECL bool TunnelMultiplexer::disconnect(std::string_view address, TimePoint now)
{
    now_ = now;
    const auto session = table_.find_active(address);
    if (session)
        end(session, "disconnected by system");
    return session != nullptr;
}

INSTANCER_DECL Result<void> TunnelMultiplexer::handle(const TunnelMessage& message)
{
    heard_ = true;
    switch (message.command) {
    case TunnelCommand::greeting: greet(message.text()); return {};
    case TunnelCommand::forward: return take_data(message);
    case TunnelCommand::disconnect: take_disconnect(message); return {};
    case TunnelCommand::control: link_.take_control(message, now_); return {};
    case TunnelCommand::keep_alive: return link_.take_keep_alive(message, now_);
    case TunnelCommand::finish: return take_finish(message);
    case TunnelCommand::window: return take_window(message);
    }
    return {};
}

INSTANCER_DECL void TunnelMultiplexer::greet(std::string_view text)
{
    if (!link_.take_greeting(text))
        return;
    if (link_.is_server()) {
        // What the agent hears of from now on is as negotiated; sessions that began before are not.
        for (const auto& session : table_.active())
            if (!session->opened_)
                introduce(session);
        link_.offer(false, now_);
    }
    observer_.negotiated();
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_data(const TunnelMessage& message)
{
    const auto user = link_.user_of(message);
    auto session = table_.find(user);
    if (!session)
        session = take_opening(message);
    if (!session || session->ending_)
        return {};
    if (session->input_ended_ && !message.data.empty())
        return fail(Errc::rejected, "data came after the end of session " + user.to_string());
    const auto verdict = buffers_.append(*session, message.data);
    if (verdict == detail::ReceiveBuffers::Verdict::breaks_window)
        return fail(Errc::rejected, "more came for session " + user.to_string() + " than its window allows");
    note_answer(session);
    if (session->deadline(Deadline::linger) != TunnelSession::never)
        linger(session);
    limit_input(session, verdict);
    session->change();
    return {};
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::take_opening(const TunnelMessage& message)
{
    const auto user = link_.user_of(message);
    // What opens a session that was agreed on is empty.
    if (link_.is_server() || table_.is_retired(user, now_) || (negotiated() && !message.data.empty())) {
        // Who does not know yet, or has forgotten, that it is over.
        if (!negotiated())
            link_.answer(message, TunnelCommand::disconnect, "remote disconnected already", now_);
        return nullptr;
    }
    if (is_full()) {
        const auto limit = std::to_string(options_.max_sessions);
        link_.answer(message, TunnelCommand::disconnect, "EMFILE the agent has " + limit + " sessions already", now_);
        if (!negotiated())
            table_.retire(user, now_);
        observer_.session_refused();
        return nullptr;
    }
    auto session = add(user, message.to, std::string());
    session->opened_ = true;
    observer_.session_opened(session);
    return session;
}

INSTANCER_DECL TunnelSessionPtr TunnelMultiplexer::add(TunnelAddress user, TunnelAddress target, std::string name)
{
    auto session = std::make_shared<TunnelSession>(user, target, std::move(name), negotiated());
    session->credit_ = link_.peer_window();
    table_.add(session);
    buffers_.add(session);
    return session;
}

INSTANCER_DECL void TunnelMultiplexer::note_answer(const TunnelSessionPtr& session)
{
    if (std::exchange(session->answered_, true) || !session->opened_)
        return;
    deadlines_.clear(session, Deadline::hold);
    resume(session);
}

INSTANCER_DECL void TunnelMultiplexer::limit_input(const TunnelSessionPtr& session,
                                                   detail::ReceiveBuffers::Verdict verdict)
{
    using Verdict = detail::ReceiveBuffers::Verdict;
    if (verdict == Verdict::exceeds_total)
        end(buffers_.fullest(), "ENOBUFS too much is kept for sessions whose receivers are slow");
    else if (verdict == Verdict::holds_up_link)
        deadlines_.set(session, Deadline::stall, now_ + options_.stall_timeout);
}

INSTANCER_DECL void TunnelMultiplexer::take_disconnect(const TunnelMessage& message)
{
    auto session = table_.find(link_.user_of(message));
    if (!session && message.data.size() == TunnelAddress::wire_size)
        session = table_.find(TunnelAddress::decode(message.data));
    if (!session)
        return;
    if (session->ending_)
        return table_.erase(*session);
    if (session->negotiated())
        tell(*session, TunnelCommand::disconnect);
    table_.erase(*session);
    if (detail::is_reset_reason(message.text())) {
        observer_.session_disconnected(*session, message.text());
        session->broken_ = true;
    } else {
        session->input_ended_ = true;
        session->peer_closed_ = true;
        // A target that has everything and stays is let go some time. A user may stay, as with any server that has
        // closed: what is still on its way must not be lost.
        if (link_.is_server())
            deadlines_.clear(session, Deadline::linger);
        else
            linger(session);
    }
    stop_sending(*session);
    session->change();
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_finish(const TunnelMessage& message)
{
    const auto session = table_.find(link_.user_of(message));
    if (!negotiated() || (session && !session->negotiated()))
        return fail(Errc::rejected, "a FIN message came that was not agreed on");
    if (!session)
        return {};
    // Who has heard our end too has forgotten the session by now, and answers nothing more.
    if (session->output_ended_)
        table_.erase(*session);
    if (session->ending_)
        return {};
    session->input_ended_ = true;
    session->change();
    return {};
}

INSTANCER_DECL Result<void> TunnelMultiplexer::take_window(const TunnelMessage& message)
{
    const auto credit = detail::WindowCredit::decode(message.data);
    if (!negotiated() || !credit)
        return fail(Errc::rejected, "a WND message came that was not agreed on");
    const auto session = table_.find(link_.user_of(message));
    if (!session || session->ending_ || !session->negotiated())
        return {};
    session->credit_ += *credit;
    resume(session);
    return {};
}

INSTANCER_DECL void TunnelMultiplexer::disconnect(TunnelSession& session, std::string_view reason)
{
    if (session.opened_)
        tell(session, TunnelCommand::disconnect, std::as_bytes(std::span(reason)));
    if (!session.opened_)
        table_.erase(session);
    else if (!session.negotiated())
        table_.retire(session, now_);
    else
        table_.expect_answer(session);
}

INSTANCER_DECL void TunnelMultiplexer::end(const TunnelSessionPtr& session, std::string_view reason)
{
    if (table_.contains(*session))
        disconnect(*session, reason);
    if (!reason.empty())
        observer_.session_disconnected(*session, reason);
    buffers_.drop(*session);
    buffers_.release(*session);
    deadlines_.remove(session);
    break_off(session);
}

INSTANCER_DECL void TunnelMultiplexer::expire(const TunnelSessionPtr& session)
{
    const auto is_due = [&](Deadline which) { return session->deadline(which) <= now_; };
    if (is_due(Deadline::hold)) {
        if (!session->opened_) {
            introduce(session);
        } else {
            deadlines_.clear(session, Deadline::hold);
            resume(session);
        }
    }
    if (is_due(Deadline::stall)) {
        deadlines_.set(session, Deadline::stall, now_ + options_.stall_timeout);
        // Whom nobody waits for may take its time.
        if (table_.size() > (table_.contains(*session) ? 1 : 0))
            end(session, "too slow: others wait for it");
    }
    if (is_due(Deadline::linger)) {
        linger(session);
        if (!session->delivers())
            end(session, session->peer_closed_ ? "" : "nothing came after its half-close");
    }
}

}  // namespace instancer
