// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include <instancer/backend/balancer.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL Balancer::Member::Member(const Upstream& given, TimePoint since)
    : upstream(given), name(given.text()), hash_(hash_of(name)), weight_(given.weight), since_(since)
{
    if (const auto endpoint = given.endpoint())
        addresses.assign({*endpoint});
}

INSTANCER_DECL Balancer::Balancer(const UpstreamOptions& options, std::uint64_t seed)
    : balance_(options.balance),
      max_fails_(options.max_fails),
      rest_(options.fail_timeout),
      fall_(options.check.fall),
      rise_(options.check.rise),
      slow_start_(options.slow_start),
      most_(options.max_per_upstream),
      queue_size_(options.queue_size),
      random_(seed)
{
    for (const auto& upstream : options.upstreams)
        members_.push_back(std::make_shared<Member>(upstream, long_ago));
}

INSTANCER_DECL Balancer::Selection Balancer::take(Attempt& attempt, TimePoint now)
{
    // What time alone has changed concerns those first who wait already.
    if (!queue_.empty())
        serve(now);
    const auto turn = choose(attempt, now);
    if (turn != Selection::wait)
        return turn;
    if (queue_.size() >= queue_size_)
        return Selection::full;
    attempt.detour().place = queue_.insert(queue_.end(), &attempt);
    retries_waiting_ += !attempt.is_first();
    return turn;
}

INSTANCER_DECL bool Balancer::succeeded(Attempt& attempt, TimePoint now) noexcept
{
    auto& member = *attempt.member_;
    member.failures_ = 0;
    if (std::exchange(member.rests_until_, {}) == TimePoint())
        return false;
    member.since_ = now;
    return true;
}

INSTANCER_DECL bool Balancer::failed(Attempt& attempt, TimePoint now)
{
    auto& member = *attempt.member_;
    bool is_new = false;
    if (max_fails_ != 0 && ++member.failures_ >= max_fails_) {
        is_new = member.rests_until_ == TimePoint();
        member.rests_until_ = now + rest_;
    }
    attempt.detour().tried.push_back(attempt.member_);
    end(attempt, now);
    return is_new;
}

INSTANCER_DECL bool Balancer::checked(Member& member, bool works, TimePoint now) noexcept
{
    const auto needed = !std::exchange(member.checked_, true) ? 1 : works ? rise_ : fall_;
    if (works == member.up_)
        member.checks_ = 0;
    else if (++member.checks_ >= needed) {
        member.checks_ = 0;
        member.up_ = works;
        if (works) {
            member.since_ = now;
            member.failures_ = 0;
            member.rests_until_ = {};
        }
        return true;
    }
    return false;
}

INSTANCER_DECL bool Balancer::found(Member& member, const Endpoints& endpoints, TimePoint now)
{
    const bool was_lost = std::exchange(member.lost_, false);
    if (was_lost && !member.has_address())
        member.since_ = now;
    member.addresses.assign(endpoints);
    return was_lost;
}

INSTANCER_DECL void Balancer::replace(const std::vector<Upstream>& upstreams, TimePoint now)
{
    std::vector<MemberPtr> members;
    for (const auto& upstream : upstreams) {
        const auto name = upstream.text();
        const auto old = std::find_if(members_.begin(), members_.end(),
                                      [&name](const auto& member) { return member->name == name; });
        if (old == members_.end()) {
            members.push_back(std::make_shared<Member>(upstream, now));
            continue;
        }
        auto& member = **old;
        if (member.removed_ || member.weight_ == 0)
            member.since_ = now;
        member.weight_ = upstream.weight;
        member.removed_ = false;
        members.push_back(std::move(*old));
        members_.erase(old);
    }
    for (auto& member : members_) {
        member->removed_ = true;
        if (member->connections_ > 0)
            members.push_back(std::move(member));
    }
    members_ = std::move(members);
}

INSTANCER_DECL bool Balancer::drain(std::string_view name, bool drained, TimePoint now)
{
    const auto found =
        std::find_if(members_.begin(), members_.end(), [name](const auto& member) { return member->name == name; });
    if (found == members_.end())
        return false;
    auto& member = **found;
    if (std::exchange(member.drained_, drained) && !drained)
        member.since_ = now;
    return true;
}

INSTANCER_DECL void Balancer::serve(TimePoint now)
{
    bool full = false;
    for (auto place = queue_.begin(); place != queue_.end() && !(full && retries_waiting_ == 0);) {
        auto& attempt = **place++;
        // One that may go anywhere found no room: neither does the next one like it.
        if (full && attempt.is_first())
            continue;
        if (choose(attempt, now) == Selection::wait) {
            full = full || attempt.is_first();
            continue;
        }
        leave(attempt);
        attempt.detour().on_served();
    }
}

INSTANCER_DECL std::vector<std::pair<Balancer::PlaceListener, QueuePlace>> Balancer::changed_places()
{
    std::vector<std::pair<PlaceListener, QueuePlace>> changed;
    std::size_t position = 0;
    for (auto* const attempt : queue_) {
        const QueuePlace place(++position, queue_.size());
        auto& detour = attempt->detour();
        if (detour.on_place && std::exchange(detour.told, place) != place)
            changed.emplace_back(detour.on_place, place);
    }
    return changed;
}

INSTANCER_DECL bool Balancer::available(TimePoint now) const
{
    return std::any_of(members_.begin(), members_.end(),
                       [now](const auto& member) { return member->accepts() && !member->rests(now); });
}

INSTANCER_DECL std::optional<Balancer::TimePoint> Balancer::next_change(TimePoint now) const
{
    std::optional<TimePoint> first;
    for (const auto& member : members_)
        if (member->accepts() && member->rests(now))
            first = std::min(first.value_or(TimePoint::max()), member->rests_until_);
    return first;
}

INSTANCER_DECL std::vector<UpstreamStatus> Balancer::snapshot(TimePoint now) const
{
    std::vector<UpstreamStatus> all;
    for (const auto& member : members_) {
        const auto state = member->drains()     ? UpstreamState::draining
                           : !member->works()   ? UpstreamState::down
                           : member->rests(now) ? UpstreamState::resting
                                                : UpstreamState::up;
        all.emplace_back(member->name, state, member->connections_, member->removed_ ? 0 : member->weight_);
    }
    return all;
}

INSTANCER_DECL Balancer::Selection Balancer::choose(Attempt& attempt, TimePoint now)
{
    for (const bool rested : {false, true}) {
        bool exists = false;
        candidates_.clear();
        for (const auto& member : members_) {
            if (!member->accepts() || member->rests(now) != rested || attempt.has_tried(member))
                continue;
            exists = true;
            if (most_ != 0 && member->connections_ >= most_)
                continue;
            member->share_ = share(*member, now);
            candidates_.push_back(&member);
        }
        if (!candidates_.empty()) {
            begin(attempt, *candidates_[best(attempt.source_)]);
            return Selection::go;
        }
        // Room at one that works is worth waiting for, before one is tried that may be dead.
        if (exists)
            return Selection::wait;
    }
    return Selection::none;
}

INSTANCER_DECL void Balancer::end(Attempt& attempt, TimePoint now)
{
    const auto member = std::exchange(attempt.member_, nullptr);
    if (--member->connections_ == 0 && member->removed_)
        std::erase(members_, member);
    if (!queue_.empty())
        serve(now);
}

INSTANCER_DECL void Balancer::leave(Attempt& attempt)
{
    if (!attempt.detour_ || !attempt.detour_->place)
        return;
    queue_.erase(*std::exchange(attempt.detour_->place, std::nullopt));
    attempt.detour_->on_place = nullptr;
    retries_waiting_ -= !attempt.is_first();
}

INSTANCER_DECL double Balancer::share(const Member& member, TimePoint now) const
{
    const double weight = member.weight_;
    if (slow_start_ == slow_start_.zero() || member.since_ == long_ago || now - member.since_ >= slow_start_)
        return weight;
    return weight * std::max(0.01, std::chrono::duration<double>(now - member.since_) / slow_start_);
}

INSTANCER_DECL std::size_t Balancer::best(std::uint64_t source)
{
    if (candidates_.size() == 1)
        return 0;
    const auto best_by = [this](auto&& score) {
        std::size_t best = 0;
        double highest = score(**candidates_[0]);
        for (std::size_t i = 1; i < candidates_.size(); ++i)
            if (const double other = score(**candidates_[i]); other > highest) {
                best = i;
                highest = other;
            }
        return best;
    };
    const auto free = [](const Member& m) { return -static_cast<double>(m.connections_ + 1) / m.share_; };
    switch (balance_) {
    case Balance::round_robin: return best_by([](const Member& m) { return m.credit_ + m.share_; });
    case Balance::least_connections: return best_by(free);
    case Balance::source_hash: return best_by([source](const Member& m) { return rendezvous(m, source); });
    case Balance::random: break;
    }
    const auto one = any(), other = any();
    return free(**candidates_[other]) > free(**candidates_[one]) ? other : one;
}

INSTANCER_DECL void Balancer::take_turn(Member& chosen)
{
    double total = 0;
    for (const auto* candidate : candidates_) {
        (*candidate)->credit_ += (*candidate)->share_;
        total += (*candidate)->share_;
    }
    chosen.credit_ -= total;
}

INSTANCER_DECL double Balancer::rendezvous(const Member& member, std::uint64_t source)
{
    const auto hash = mixed(member.hash_ + source);
    const double uniform = (static_cast<double>(hash >> 11) + 0.5) / 9007199254740992.0;
    return -member.share_ / std::log(uniform);
}

INSTANCER_DECL std::size_t Balancer::any()
{
    double total = 0;
    for (const auto* candidate : candidates_)
        total += (*candidate)->share_;
    double point = std::uniform_real_distribution<double>(0, total)(random_);
    for (std::size_t i = 0; i + 1 < candidates_.size(); ++i)
        if ((point -= (*candidates_[i])->share_) < 0)
            return i;
    return candidates_.size() - 1;
}

}  // namespace instancer
