// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/backend/upstream_options.hpp>
#include <instancer/backend/upstream_status.hpp>
#include <instancer/detail/socket/address_list.hpp>

namespace instancer {

/// Chooses upstreams, remembers which of them fail, and lets connections wait while all are full. Decisions only: no
/// clock, no sockets.
///
/// Threads: one at a time.
class Balancer {
public:
    /// A moment on the clock that never goes back.
    using TimePoint = std::chrono::steady_clock::time_point;
    /// What a name stands for.
    using Endpoints = detail::AddressList::Endpoints;

    /// One upstream.
    class Member {
    public:
        /// A server as it is configured, in the group since `since`.
        Member(const Upstream& given, TimePoint since)
            : upstream(given), name(given.text()), hash_(hash_of(name)), weight_(given.weight), since_(since)
        {
            if (const auto endpoint = given.endpoint())
                addresses.assign({*endpoint});
        }

        const Upstream upstream;  ///< As first given: its weight may have changed.
        const std::string name;   ///< As it is configured, for logs.

        /// What its name stands for: nothing until it has been looked up.
        detail::AddressList addresses;

        /// Whether there is something to connect to. It counts as down until then.
        bool has_address() const noexcept { return upstream.is_unix() || !addresses.empty(); }

        /// Its last look-up failed.
        bool lost() const noexcept { return lost_; }

        /// Connections that it has now.
        std::size_t connections() const noexcept { return connections_; }

        /// It is in the list no more.
        bool removed() const noexcept { return removed_; }

    private:
        friend class Balancer;

        bool accepts() const noexcept { return works() && weight_ > 0 && !removed_; }
        bool works() const noexcept { return up_ && has_address(); }
        bool rests(TimePoint now) const noexcept { return rests_until_ > now; }

        std::uint64_t hash_;
        unsigned weight_;
        TimePoint since_;    ///< When slow start began.
        double share_ = 0;   ///< The weight that counts in the choice that is going on.
        double credit_ = 0;  ///< Of the round robin.
        std::size_t connections_ = 0;
        unsigned failures_ = 0;
        TimePoint rests_until_;
        bool up_ = true;
        bool lost_ = false;
        bool checked_ = false;
        unsigned checks_ = 0;  ///< In a row, that contradict `up_`.
        bool removed_ = false;
    };
    /// A member of the group; it stays while a connection to it does.
    using MemberPtr = std::shared_ptr<Member>;

    /// One connection on its way to an upstream, and then at it.
    class Attempt {
    public:
        /// `source` is the same for connections that belong together; see `hash_of`.
        explicit Attempt(std::uint64_t source = 0) : source_(source) {}
        Attempt(const Attempt&) = delete;
        Attempt& operator=(const Attempt&) = delete;

        /// Where it goes; none while it waits, and when there is nowhere to go.
        const MemberPtr& member() const noexcept { return member_; }

        /// Whether anybody cares that it succeeds: its upstream has failed before.
        bool matters() const noexcept { return matters_; }

        /// `callback` is called when it has waited and `member` is decided.
        void on_served(std::function<void()> callback) { detour().on_served = std::move(callback); }

    private:
        friend class Balancer;

        /// What most attempts do without.
        struct Detour {
            std::vector<MemberPtr> tried;
            std::function<void()> on_served;
            std::optional<std::list<Attempt*>::iterator> place;  ///< In the queue.
        };

        Detour& detour()
        {
            if (!detour_)
                detour_ = std::make_unique<Detour>();
            return *detour_;
        }
        bool is_first() const noexcept { return !detour_ || detour_->tried.empty(); }
        bool has_tried(const MemberPtr& member) const
        {
            return detour_ && std::find(detour_->tried.begin(), detour_->tried.end(), member) != detour_->tried.end();
        }

        std::uint64_t source_;
        MemberPtr member_;
        std::unique_ptr<Detour> detour_;
        bool matters_ = false;
    };

    /// What a client that asked is to do.
    enum class Selection {
        go,    ///< To `member`.
        wait,  ///< Until `on_served`.
        full,  ///< No room to wait either.
        none,  ///< Nothing is left to try.
    };

    /// An empty group; `seed` makes its choices repeatable.
    explicit Balancer(const UpstreamOptions& options, std::uint64_t seed = 0)
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

    /// Spreads `bytes` evenly; the same on every machine.
    static std::uint64_t hash_of(std::string_view bytes) noexcept
    {
        std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a.
        for (const char c : bytes)
            hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        return mixed(hash);
    }

    /// All of them; those that were removed and have connections yet come last.
    const std::vector<MemberPtr>& members() const noexcept { return members_; }

    /// Clients that wait.
    std::size_t waiting() const noexcept { return queue_.size(); }

    /// Begins, or goes on after `failed`. Never the same upstream twice; those that rest come last, because one that
    /// may be dead is better than none.
    Selection take(Attempt& attempt, TimePoint now)
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

    /// The upstream took the connection. True when it had been left alone before.
    bool succeeded(Attempt& attempt, TimePoint now) noexcept
    {
        auto& member = *attempt.member_;
        member.failures_ = 0;
        if (std::exchange(member.rests_until_, {}) == TimePoint())
            return false;
        member.since_ = now;
        return true;
    }

    /// The upstream did not take the connection. True when it is left alone from now on.
    bool failed(Attempt& attempt, TimePoint now)
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

    /// The connection has ended, or is no longer wanted.
    void release(Attempt& attempt, TimePoint now)
    {
        leave(attempt);
        if (attempt.member_)
            end(attempt, now);
    }

    /// What a check found out. True when the upstream is up or down from now on and was not before.
    bool checked(Member& member, bool works, TimePoint now) noexcept
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

    /// A look-up found what its name stands for. True when the one before had failed.
    bool found(Member& member, const Endpoints& endpoints, TimePoint now)
    {
        const bool was_lost = std::exchange(member.lost_, false);
        if (was_lost && !member.has_address())
            member.since_ = now;
        member.addresses.assign(endpoints);
        return was_lost;
    }

    /// A look-up failed; addresses that were found before stay. True when the one before had not failed.
    bool not_found(Member& member) noexcept { return !std::exchange(member.lost_, true); }

    /// Another list. What is known about those that stay is kept; those that are missing vanish with their last
    /// connection.
    void replace(const std::vector<Upstream>& upstreams, TimePoint now)
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

    /// Lets those go on that wait and need not any more. Call it when an upstream came, went, or changed its state, and
    /// at `next_change`.
    void serve(TimePoint now)
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

    /// Whether there is an upstream that is up and does not rest.
    bool available(TimePoint now) const
    {
        return std::any_of(members_.begin(), members_.end(),
                           [now](const auto& member) { return member->accepts() && !member->rests(now); });
    }

    /// When the first of those that rest has rested; none when none rests.
    std::optional<TimePoint> next_change(TimePoint now) const
    {
        std::optional<TimePoint> first;
        for (const auto& member : members_)
            if (member->accepts() && member->rests(now))
                first = std::min(first.value_or(TimePoint::max()), member->rests_until_);
        return first;
    }

    /// The state of each member at `now`.
    std::vector<UpstreamStatus> snapshot(TimePoint now) const
    {
        std::vector<UpstreamStatus> all;
        for (const auto& member : members_) {
            const bool drains = member->removed_ || member->weight_ == 0;
            const auto state = drains               ? UpstreamState::draining
                               : !member->works()   ? UpstreamState::down
                               : member->rests(now) ? UpstreamState::resting
                                                    : UpstreamState::up;
            all.emplace_back(member->name, state, member->connections_, member->removed_ ? 0 : member->weight_);
        }
        return all;
    }

private:
    static constexpr TimePoint long_ago = TimePoint::min();

    static std::uint64_t mixed(std::uint64_t hash) noexcept
    {
        hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;  // The finalizer of SplitMix64.
        hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
        return hash ^ (hash >> 31);
    }

    Selection choose(Attempt& attempt, TimePoint now)
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

    void begin(Attempt& attempt, const MemberPtr& member)
    {
        // A turn is used up by the connection, not by each upstream that it tries.
        if (balance_ == Balance::round_robin && attempt.is_first())
            take_turn(*member);
        ++member->connections_;
        attempt.matters_ = member->failures_ > 0;
        attempt.member_ = member;
    }

    void end(Attempt& attempt, TimePoint now)
    {
        const auto member = std::exchange(attempt.member_, nullptr);
        if (--member->connections_ == 0 && member->removed_)
            std::erase(members_, member);
        if (!queue_.empty())
            serve(now);
    }

    void leave(Attempt& attempt)
    {
        if (!attempt.detour_ || !attempt.detour_->place)
            return;
        queue_.erase(*std::exchange(attempt.detour_->place, std::nullopt));
        retries_waiting_ -= !attempt.is_first();
    }

    /// The weight, or the part of it that slow start allows by now.
    double share(const Member& member, TimePoint now) const
    {
        const double weight = member.weight_;
        if (slow_start_ == slow_start_.zero() || member.since_ == long_ago || now - member.since_ >= slow_start_)
            return weight;
        return weight * std::max(0.01, std::chrono::duration<double>(now - member.since_) / slow_start_);
    }

    /// The place in `candidates_`.
    std::size_t best(std::uint64_t source)
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

    /// Smooth weighted round robin, as nginx does it: everybody earns its weight, and who had the most pays for all.
    void take_turn(Member& chosen)
    {
        double total = 0;
        for (const auto* candidate : candidates_) {
            (*candidate)->credit_ += (*candidate)->share_;
            total += (*candidate)->share_;
        }
        chosen.credit_ -= total;
    }

    /// Weighted rendezvous hashing (C. Schindelhauer, G. Schomaker: Weighted Distributed Hash Tables, SPAA 2005): a
    /// client moves only when its own upstream goes, or a new one wins it.
    static double rendezvous(const Member& member, std::uint64_t source)
    {
        const auto hash = mixed(member.hash_ + source);
        const double uniform = (static_cast<double>(hash >> 11) + 0.5) / 9007199254740992.0;
        return -member.share_ / std::log(uniform);
    }

    std::size_t any()
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

    Balance balance_;
    unsigned max_fails_;
    std::chrono::milliseconds rest_;
    unsigned fall_;
    unsigned rise_;
    std::chrono::milliseconds slow_start_;
    std::size_t most_;
    std::size_t queue_size_;
    std::mt19937_64 random_;
    std::vector<MemberPtr> members_;
    std::vector<const MemberPtr*> candidates_;  ///< Of the choice that is going on; kept for its memory.
    std::list<Attempt*> queue_;
    std::size_t retries_waiting_ = 0;  ///< How many in the queue have tried some already.
};

}  // namespace instancer
