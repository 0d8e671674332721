// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <instancer/detail/config.hpp>
#include <instancer/detail/relay/relay_channel.hpp>

namespace instancer::detail {

INSTANCER_DECL RelayMember::RelayMember(std::shared_ptr<RelayChannel> channel, std::uint64_t session,
                                        const ClientInfo& client)
    : readable(channel->executor()),
      writable(channel->executor()),
      vanished(channel->executor()),
      channel_(std::move(channel)),
      info_(session, client, channel_->name())
{
}

INSTANCER_DECL Result<std::size_t> RelayMember::write(std::span<const std::byte> data)
{
    if (cut_ || peer_lost_)
        return fail(std::error_code(asio::error::connection_reset));
    if (!sends_)
        return fail(std::error_code(asio::error::broken_pipe));
    auto room = this->writable_bytes();
    // What came with the greeting must not wait until there is somebody who reads.
    if (!std::exchange(has_sent_, true) && data.size() <= with_greeting)
        room = data.size();
    if (room == 0 && !data.empty())
        return fail(std::error_code(asio::error::would_block));
    const auto taken = data.first(std::min(data.size(), room));
    channel_->pass(*this, taken);
    return taken.size();
}

INSTANCER_DECL Result<std::size_t> RelayMember::read(std::span<std::byte> buffer)
{
    const auto next = peek();
    if (!next)
        return fail(next.error());
    const auto count = std::min(buffer.size(), next->size());
    std::copy_n(next->begin(), count, buffer.begin());
    if (count > 0)
        consume(count);
    return count;
}

INSTANCER_DECL void RelayMember::end_sending()
{
    sends_ = false;
    if (channel_->passes_ends())
        return channel_->pass_end(*this);
    const bool stays = channel_->options().end == MemberEnd::stay;
    // What it has sent waits for somebody: so does it.
    leaves_ = !stays && channel_->holds(*this);
    if (!stays && !leaves_)
        depart();
}

INSTANCER_DECL bool RelayMember::is_ready(Readiness what)
{
    switch (what) {
    case Readiness::readable: return !queue_.empty() || cut_ || departed_ || input_ended_;
    case Readiness::writable: return cut_ || !sends_ || writable_bytes() > 0;
    case Readiness::gone: return cut_ || (peer_lost_ && queue_.empty());
    }
    return true;
}

INSTANCER_DECL Result<std::span<const std::byte>> RelayMember::peek()
{
    if (cut_)
        return fail(std::error_code(asio::error::connection_reset));
    if (!queue_.empty())
        return queue_.front();
    if (peer_lost_)
        return fail(std::error_code(asio::error::connection_reset));
    if (departed_ || input_ended_)
        return std::span<const std::byte>();
    return fail(std::error_code(asio::error::would_block));
}

INSTANCER_DECL Result<std::shared_ptr<RelayMember>> RelayChannel::join(std::uint64_t session, const ClientInfo& client)
{
    if (closed_)
        return fail(Errc::instance_gone, "the channel has just ended");
    const auto limit = max_members();
    if (limit != 0 && members_.size() >= limit)
        return fail(Errc::full, name_ + " is full: it has all " + std::to_string(limit) +
                                    " members that it may have (max-connections)");
    const auto member = std::make_shared<RelayMember>(shared_from_this(), session, client);
    members_.push_back(member.get());
    rules_->observer.joined(member->info_, members_.size());
    if (!held_.empty()) {
        std::swap(member->queue_, held_);
        note_queue(*member);
        const auto senders = members_;
        for (auto* sender : senders)
            if (std::exchange(sender->leaves_, false))
                sender->depart();
    }
    if (const auto* peer = peer_of(*member); passes_ends() && peer && !peer->sends_)
        member->end_input();
    wake_senders();
    return member;
}

INSTANCER_DECL std::size_t RelayChannel::room_for(const RelayMember& member) const noexcept
{
    if (is_alone(member))
        return options().alone == SentAlone::discard
                   ? any_number
                   : options().alone_limit - std::min(options().alone_limit, held_.cost());
    if (options().slow == SlowMember::queue)
        return any_number;
    const std::size_t own = member.is_slow_ && !echo() ? 1 : 0;
    return slow_ > own ? 0 : any_number;
}

INSTANCER_DECL void RelayChannel::pass(RelayMember& sender, std::span<const std::byte> data)
{
    sender.last_sent_ = ++sent_;
    rules_->observer.passed(sender.info_, data);
    if (!is_alone(sender))
        fan_out(sender, data);
    else if (options().alone == SentAlone::hold)
        hold(data);
}

INSTANCER_DECL void RelayChannel::fan_out(RelayMember& sender, std::span<const std::byte> data)
{
    const bool echoes = echo();
    auto least = data.size();
    for (auto* member : members_)
        if ((member != &sender || echoes) && member->receives_) {
            member->offered_ = member->offer(data);
            least = std::min(least, member->offered_);
        }
    if (least == data.size())
        return;
    const auto [chunk, bytes] = store_.keep(data.subspan(least));
    std::vector<RelayMember*> full;
    for (auto* member : members_) {
        if ((member == &sender && !echoes) || !member->receives_ || member->offered_ == data.size())
            continue;
        member->queue_.push(chunk, bytes.subspan(member->offered_ - least));
        note_queue(*member);
        member->readable.notify();
        if (options().slow == SlowMember::queue && member->queue_.cost() > options().slow_queue)
            full.push_back(member);
    }
    for (auto* member : full)
        cut(*member, "too much is queued for it");
}

INSTANCER_DECL RelayMember* RelayChannel::peer_of(const RelayMember& member) const noexcept
{
    const auto peer =
        std::find_if(members_.begin(), members_.end(), [&](const auto* other) { return other != &member; });
    return peer == members_.end() ? nullptr : *peer;
}

INSTANCER_DECL void RelayChannel::pass_end(RelayMember& member)
{
    auto* const peer = peer_of(member);
    // A member that is alone stays: whoever joins gets the end.
    if (!peer)
        return;
    if (peer->sends_)
        return peer->end_input();
    peer->depart();
    member.depart();
}

INSTANCER_DECL void RelayChannel::leave(RelayMember& member)
{
    std::erase(waiting_, &member);
    member.waits_ = false;
    std::erase(departed_, &member);
    if (std::erase(members_, &member) > 0) {
        rules_->observer.left(member.info_, members_.size());
        if (member.departed_ && !member.queue_.empty())
            departed_.push_back(&member);
        if (auto* peer = peer_of(member); passes_ends() && peer && !member.departed_ && !closed_)
            peer->lose_peer();
    }
    note_queue(member);
    wake_senders();
}

INSTANCER_DECL void RelayChannel::note_queue(RelayMember& member)
{
    const bool slow = !member.queue_.empty() && member.receives_ && !member.departed_ && !member.cut_;
    if (slow != std::exchange(member.is_slow_, slow)) {
        if (slow) {
            ++slow_;
            member.slow_since_ = Clock::now();
            watch_slow();
        } else {
            --slow_;
            wake_senders();
        }
    }
    if (slow_ == 0 && held_.empty())
        store_.release();
}

INSTANCER_DECL void RelayChannel::wake_senders()
{
    std::sort(waiting_.begin(), waiting_.end(),
              [](const auto* a, const auto* b) { return a->last_sent_ < b->last_sent_; });
    for (auto next = waiting_.begin(); next != waiting_.end();) {
        auto& member = **next;
        if (room_for(member) == 0) {
            ++next;
            continue;
        }
        next = waiting_.erase(next);
        member.waits_ = false;
        if (member.borrower_)
            member.borrower_->changed();
        member.writable.notify();
    }
}

INSTANCER_DECL void RelayChannel::cut(RelayMember& member, std::string_view why)
{
    member.cut_ = true;
    if (!why.empty())
        rules_->observer.cut(member.info_, why);
    member.discard_input();
    leave(member);
    member.wake();
}

INSTANCER_DECL void RelayChannel::watch_slow()
{
    if (options().slow != SlowMember::disconnect || std::exchange(slow_timer_runs_, true))
        return;
    auto first = Clock::time_point::max();
    for (const auto* member : members_)
        if (member->is_slow_)
            first = std::min(first, member->slow_since_);
    slow_timer_.expires_at(first + options().slow_timeout);
    slow_timer_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
        if (const auto self = weak.lock(); self && !error)
            self->cut_slow();
    });
}

INSTANCER_DECL void RelayChannel::cut_slow()
{
    slow_timer_runs_ = false;
    const auto now = Clock::now();
    const auto members = members_;
    for (auto* member : members)
        if (member->is_slow_ && now - member->slow_since_ >= options().slow_timeout)
            cut(*member, "the others have waited for it for too long");
    if (slow_ > 0)
        watch_slow();
}

INSTANCER_DECL RelayChannelStatus RelayChannel::status() const
{
    RelayChannelStatus status;
    status.name = name_;
    status.held = held_.size();
    for (const auto* group : {&members_, &departed_})
        for (const auto* member : *group) {
            RelayMemberStatus one;
            one.session = member->info_.session;
            one.client = member->info_.client.to_string();
            one.queued = member->queue_.size();
            one.waits = member->waits_;
            one.ended = !member->sends_;
            status.members.push_back(std::move(one));
        }
    return status;
}

INSTANCER_DECL asio::awaitable<Result<void>> RelayStream::wait(Readiness what)
{
    const auto member = member_;
    auto& signal = what == Readiness::readable   ? member->readable
                   : what == Readiness::writable ? member->writable
                                                 : member->vanished;
    bool cancelled = false;
    while (!cancelled && !member->is_closed() && !member->is_ready(what))
        cancelled = !co_await signal.wait();
    if (cancelled || member->is_closed())
        co_return fail(std::error_code(asio::error::operation_aborted));
    co_return Result<void>();
}

}  // namespace instancer::detail
