// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/backend/upstream_options.hpp>

namespace instancer {

/// Chooses upstreams, and remembers which of them fail. Decisions only: no clock, no sockets.
///
/// Threads: one at a time.
class Balancer {
public:
    using Clock = std::chrono::steady_clock;

    explicit Balancer(const UpstreamOptions& options, std::uint64_t seed = 0)
        : balance_(options.balance), max_fails_(options.max_fails), rest_(options.fail_timeout), random_(seed)
    {
        for (const auto& upstream : options.upstreams)
            members_.emplace_back(upstream.text(), upstream.weight);
    }

    std::size_t size() const noexcept { return members_.size(); }
    std::size_t connections(std::size_t index) const noexcept { return members_[index].connections; }

    /// Whether it is left alone at `now`, after failures.
    bool rests(std::size_t index, Clock::time_point now) const noexcept { return members_[index].rests_until > now; }

    /// Upstreams in the order in which one connection of `source` tries them: those that rest come last, because one
    /// that may be dead is better than none.
    std::vector<std::size_t> order(std::string_view source, Clock::time_point now)
    {
        std::vector<std::size_t> fit, resting;
        for (std::size_t i = 0; i < members_.size(); ++i)
            (rests(i, now) ? resting : fit).push_back(i);
        std::vector<std::size_t> result;
        for (auto* group : {&fit, &resting})
            while (!group->empty()) {
                const auto chosen = choose(*group, source);
                result.push_back((*group)[chosen]);
                group->erase(group->begin() + static_cast<std::ptrdiff_t>(chosen));
            }
        // A turn is used up by the connection, not by each upstream that it might try.
        if (balance_ == Balance::round_robin && !result.empty())
            take_turn(result);
        return result;
    }

    /// A connection begins, which may still fail.
    void begin(std::size_t index) noexcept { ++members_[index].connections; }
    void end(std::size_t index) noexcept { --members_[index].connections; }

    /// True when the upstream had been left alone before.
    bool succeeded(std::size_t index) noexcept
    {
        members_[index].failures = 0;
        return std::exchange(members_[index].rests_until, {}) != Clock::time_point();
    }

    /// True when the upstream is left alone from now on.
    bool failed(std::size_t index, Clock::time_point now) noexcept
    {
        auto& member = members_[index];
        if (max_fails_ == 0 || ++member.failures < max_fails_)
            return false;
        const bool is_new = member.rests_until == Clock::time_point();
        member.rests_until = now + rest_;
        return is_new;
    }

private:
    struct Member {
        Member(std::string text, unsigned share) : name(std::move(text)), weight(share) {}

        std::string name;
        double weight;
        double credit = 0;  ///< Of the round robin.
        std::size_t connections = 0;
        unsigned failures = 0;
        Clock::time_point rests_until;
    };

    std::size_t choose(const std::vector<std::size_t>& among, std::string_view source)
    {
        const auto best_by = [&](auto&& score) {
            std::size_t best = 0;
            for (std::size_t i = 1; i < among.size(); ++i)
                if (score(members_[among[i]]) > score(members_[among[best]]))
                    best = i;
            return best;
        };
        const auto free = [](const Member& member) {
            return -static_cast<double>(member.connections + 1) / member.weight;
        };
        switch (balance_) {
        case Balance::round_robin: return best_by([](const Member& m) { return m.credit + m.weight; });
        case Balance::least_connections: return best_by(free);
        case Balance::source_hash: return best_by([&](const Member& m) { return rendezvous(m, source); });
        case Balance::random: break;
        }
        const auto one = any(among), other = any(among);
        return free(members_[among[other]]) > free(members_[among[one]]) ? other : one;
    }

    /// Smooth weighted round robin, as nginx does it: everybody earns its weight, and who had the most pays for all.
    void take_turn(const std::vector<std::size_t>& order)
    {
        double total = 0;
        for (const auto index : order) {
            members_[index].credit += members_[index].weight;
            total += members_[index].weight;
        }
        members_[order.front()].credit -= total;
    }

    /// Weighted rendezvous hashing (C. Schindelhauer, G. Schomaker: Weighted Distributed Hash Tables, SPAA 2005): a
    /// client moves only when its own upstream goes, or a new one wins it.
    static double rendezvous(const Member& member, std::string_view source)
    {
        std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, then the finalizer of SplitMix64.
        for (const auto text : {std::string_view(member.name), std::string_view("\0", 1), source})
            for (const char c : text)
                hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
        hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
        hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
        hash ^= hash >> 31;
        const double uniform = (static_cast<double>(hash >> 11) + 0.5) / 9007199254740992.0;
        return -member.weight / std::log(uniform);
    }

    std::size_t any(const std::vector<std::size_t>& among)
    {
        double total = 0;
        for (const auto index : among)
            total += members_[index].weight;
        double point = std::uniform_real_distribution<double>(0, total)(random_);
        for (std::size_t i = 0; i + 1 < among.size(); ++i)
            if ((point -= members_[among[i]].weight) < 0)
                return i;
        return among.size() - 1;
    }

    Balance balance_;
    unsigned max_fails_;
    Clock::duration rest_;
    std::mt19937_64 random_;
    std::vector<Member> members_;
};

}  // namespace instancer
