// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <asio/ip/address.hpp>

#include <instancer/acceptor/network.hpp>
#include <instancer/admission/rate_limiter.hpp>
#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/detail/crypto/sha256.hpp>

namespace instancer {

/// When a source is banned, and how long.
class BanOptions {
public:
    Rate after;  ///< Failures beyond it ban their source; none: nobody is.
    std::chrono::seconds duration =
        std::chrono::minutes(10);                           ///< The first time; each further time takes twice as long.
    std::chrono::seconds longest = std::chrono::hours(24);  ///< No ban takes longer, and so long one is remembered.
    unsigned source_prefix = 64;                            ///< IPv6 clients that share so many bits are one source.
    unsigned source_prefix4 = 32;                           ///< IPv4 clients that share so many bits are one source.
    std::size_t max_bans = 65'536;                          ///< Beyond, those go first that would end first.

    BanOptions() = default;
};

/// A network whose clients are not let in until a time.
class Ban {
public:
    /// The clock of bans: they outlast a run.
    using Time = std::chrono::system_clock::time_point;

    /// Of `of`, up to `end`, because of `why`.
    Ban(const Network& of, Time end, std::string why) : network(of), until(end), reason(std::move(why)) {}

    Network network;     ///< Who is banned.
    Time until;          ///< Then they are let in again.
    std::string reason;  ///< For the operator.
};

/// Bans sources whose clients fail too often, and those that an operator names, in bounded memory.
///
/// Threads: one at a time.
class BanList {
public:
    /// The clock that failures are counted by.
    using Clock = std::chrono::steady_clock;

    /// A list without a ban.
    explicit BanList(const BanOptions& options)
        : options_(options), failures_(options.after), key_(detail::random_bytes(16))
    {
    }

    /// Notes that a client at `address` failed. Returns the ban that this begins.
    std::optional<Ban> note_failure(const asio::ip::address& address, const std::string& reason, Clock::time_point now,
                                    Ban::Time time)
    {
        const Network source = source_of(address);
        if (failures_.allow(number_of(source), now) || find(address, time))
            return std::nullopt;
        const auto before = records_.find(source);
        const unsigned times =
            before == records_.end() || before->second.until + options_.longest <= time ? 0 : before->second.times;
        auto span = options_.duration;
        for (unsigned i = 0; i < times && span < options_.longest; ++i)
            span *= 2;
        Ban ban(source, time + std::min(span, options_.longest), reason);
        put(ban, times + 1);
        return ban;
    }

    /// Adds or replaces the ban of a network.
    void add(const Ban& ban) { put(ban, 1); }

    /// Ends the ban of exactly that network and forgets it; false when there is none.
    bool remove(const Network& network)
    {
        const auto found = records_.find(network);
        if (found == records_.end())
            return false;
        erase(found);
        return true;
    }

    /// The ban that holds for `address`, of the smallest network if several do.
    ///
    /// Time: grows with how many different sizes of network are banned, not with their number.
    std::optional<Ban> find(const asio::ip::address& address, Ban::Time time) const
    {
        const Network exact(address);
        const auto& sizes = sizes_[exact.is_v4() ? 1 : 0];
        for (auto size = sizes.rbegin(); size != sizes.rend(); ++size) {
            const auto found = records_.find(exact.widened(size->first));
            if (found != records_.end() && time < found->second.until)
                return Ban(found->first, found->second.until, found->second.reason);
        }
        return std::nullopt;
    }

    /// The bans that hold, those that end first in front.
    std::vector<Ban> list(Ban::Time time) const
    {
        std::vector<Ban> bans;
        for (const auto& [until, network] : by_end_)
            if (time < until)
                bans.emplace_back(network, until, records_.at(network).reason);
        return bans;
    }

private:
    /// A ban, also one that is over: whoever is banned again is banned for longer.
    struct Record {
        Ban::Time until;
        std::string reason;
        unsigned times;
    };
    using Records = std::unordered_map<Network, Record, Network::Hash>;

    Network source_of(const asio::ip::address& address) const
    {
        const Network exact(address);
        return exact.widened(exact.is_v4() ? options_.source_prefix4 : options_.source_prefix);
    }

    /// Nobody else can calculate it.
    std::uint64_t number_of(const Network& source) const
    {
        detail::Sha256 hash;
        hash.update(key_);
        hash.update(source.to_string());
        const auto digest = hash.finish();
        std::uint64_t number = 0;
        for (std::size_t i = 0; i < sizeof number; ++i)
            number = number << 8 | digest[i];
        return number;
    }

    void put(const Ban& ban, unsigned times)
    {
        remove(ban.network);
        while (!records_.empty() && records_.size() >= options_.max_bans)
            erase(records_.find(by_end_.begin()->second));
        records_.emplace(ban.network, Record{ban.until, ban.reason, times});
        by_end_.emplace(ban.until, ban.network);
        ++sizes_[ban.network.is_v4() ? 1 : 0][ban.network.bits()];
    }

    void erase(Records::iterator place)
    {
        const Network network = place->first;
        auto& sizes = sizes_[network.is_v4() ? 1 : 0];
        if (--sizes[network.bits()] == 0)
            sizes.erase(network.bits());
        by_end_.erase({place->second.until, network});
        records_.erase(place);
    }

    const BanOptions options_;
    RateLimiter failures_;
    const std::string key_;
    Records records_;
    std::set<std::pair<Ban::Time, Network>> by_end_;
    std::array<std::map<unsigned, std::size_t>, 2> sizes_;  ///< Of networks in IPv6 and in IPv4: how many of each.
};

}  // namespace instancer
