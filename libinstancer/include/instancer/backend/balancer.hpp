// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
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
#include <instancer/pool/queue_place.hpp>

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
    /// Hears of a connection's place in the queue.
    using PlaceListener = std::function<void(const QueuePlace&)>;

    /// One upstream.
    class Member {
    public:
        /// A server as it is configured, in the group since `since`.
        Member(const Upstream& given, TimePoint since);

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

        bool accepts() const noexcept { return works() && !drains(); }
        bool drains() const noexcept { return removed_ || drained_ || weight_ == 0; }
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
        bool drained_ = false;  ///< As an operator wishes, whatever the list says.
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

        /// `listener` is told of by `changed_places`, while it waits.
        void on_place(PlaceListener listener) { detour().on_place = std::move(listener); }

    private:
        friend class Balancer;

        /// What most attempts do without.
        struct Detour {
            std::vector<MemberPtr> tried;
            std::function<void()> on_served;
            PlaceListener on_place;
            QueuePlace told;                                     ///< What its listener has been told of last.
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
    explicit Balancer(const UpstreamOptions& options, std::uint64_t seed = 0);

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
    Selection take(Attempt& attempt, TimePoint now);

    /// The upstream took the connection. True when it had been left alone before.
    bool succeeded(Attempt& attempt, TimePoint now) noexcept;

    /// The upstream did not take the connection. True when it is left alone from now on.
    bool failed(Attempt& attempt, TimePoint now);

    /// The connection has ended, or is no longer wanted.
    void release(Attempt& attempt, TimePoint now)
    {
        leave(attempt);
        if (attempt.member_)
            end(attempt, now);
    }

    /// What a check found out. True when the upstream is up or down from now on and was not before.
    bool checked(Member& member, bool works, TimePoint now) noexcept;

    /// A look-up found what its name stands for. True when the one before had failed.
    bool found(Member& member, const Endpoints& endpoints, TimePoint now);

    /// A look-up failed; addresses that were found before stay. True when the one before had not failed.
    bool not_found(Member& member) noexcept { return !std::exchange(member.lost_, true); }

    /// Another list. What is known about those that stay is kept; those that are missing vanish with their last
    /// connection.
    void replace(const std::vector<Upstream>& upstreams, TimePoint now);

    /// Gives the upstream of that name no more connections, or gives it some again; false when there is none.
    bool drain(std::string_view name, bool drained, TimePoint now);

    /// Lets those go on that wait and need not any more. Call it when an upstream came, went, or changed its state, and
    /// at `next_change`.
    void serve(TimePoint now);

    /// The places that have changed, or are new, since the last call, of connections that want to know.
    ///
    /// Time: by how many wait.
    std::vector<std::pair<PlaceListener, QueuePlace>> changed_places();

    /// Whether there is an upstream that is up and does not rest.
    bool available(TimePoint now) const;

    /// When the first of those that rest has rested; none when none rests.
    std::optional<TimePoint> next_change(TimePoint now) const;

    /// The state of each member at `now`.
    std::vector<UpstreamStatus> snapshot(TimePoint now) const;

private:
    static constexpr TimePoint long_ago = TimePoint::min();

    static std::uint64_t mixed(std::uint64_t hash) noexcept
    {
        hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;  // The finalizer of SplitMix64.
        hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
        return hash ^ (hash >> 31);
    }

    Selection choose(Attempt& attempt, TimePoint now);

    void begin(Attempt& attempt, const MemberPtr& member)
    {
        // A turn is used up by the connection, not by each upstream that it tries.
        if (balance_ == Balance::round_robin && attempt.is_first())
            take_turn(*member);
        ++member->connections_;
        attempt.matters_ = member->failures_ > 0;
        attempt.member_ = member;
    }

    void end(Attempt& attempt, TimePoint now);

    void leave(Attempt& attempt);

    /// The weight, or the part of it that slow start allows by now.
    double share(const Member& member, TimePoint now) const;

    /// The place in `candidates_`.
    std::size_t best(std::uint64_t source);

    /// Smooth weighted round robin, as nginx does it: everybody earns its weight, and who had the most pays for all.
    void take_turn(Member& chosen);

    /// Weighted rendezvous hashing (C. Schindelhauer, G. Schomaker: Weighted Distributed Hash Tables, SPAA 2005): a
    /// client moves only when its own upstream goes, or a new one wins it.
    static double rendezvous(const Member& member, std::uint64_t source);

    std::size_t any();

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

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/backend/balancer.hpp>
#endif
