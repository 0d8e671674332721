// SPDX-License-Identifier: MIT
#pragma once

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
    std::chrono::seconds longest = std::chrono::hours(24);  ///< Of a ban, and of its memory once it ended.
    unsigned source_prefix = 64;                            ///< IPv6 clients that share so many bits are one source.
    unsigned source_prefix4 = 32;                           ///< IPv4 clients that share so many bits are one source.
    std::size_t max_bans = 65'536;                          ///< Beyond, the bans that would end first are dropped.

    BanOptions() = default;
};

/// A network whose clients are not let in until a time.
class Ban {
public:
    /// The clock of bans: they outlast a run.
    using Time = std::chrono::system_clock::time_point;

    /// Of `of`, up to `end`, because of `why`; the `number`th time, or 0 where nobody said.
    Ban(const Network& of, Time end, std::string why, unsigned number = 0)
        : network(of), until(end), reason(std::move(why)), times(number)
    {
    }

    Network network;     ///< The banned network.
    Time until;          ///< Then they are let in again.
    std::string reason;  ///< For the operator.
    unsigned times;      ///< How often, this time included; 0 where nobody said.
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
                                    Ban::Time time);

    /// Adds or replaces the ban of a network. Where nobody said how often, it stays as often banned as it was.
    void add(const Ban& ban)
    {
        const auto before = records_.find(ban.network);
        put(ban, ban.times != 0 ? ban.times : before == records_.end() ? 1 : before->second.times);
    }

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
    std::optional<Ban> find(const asio::ip::address& address, Ban::Time time) const;

    /// The bans in force, the first to end in front.
    std::vector<Ban> list(Ban::Time time) const { return ending_after(time); }

    /// The same, with those that are over and still count: a network that is banned again is banned for longer.
    std::vector<Ban> remembered(Ban::Time time) const { return ending_after(time - options_.longest); }

private:
    /// A ban, also one that is over: a network that is banned again is banned for longer.
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
    std::uint64_t number_of(const Network& source) const;

    std::vector<Ban> ending_after(Ban::Time time) const;

    void put(const Ban& ban, unsigned times);

    void erase(Records::iterator place);

    const BanOptions options_;
    RateLimiter failures_;
    const std::string key_;
    Records records_;
    std::set<std::pair<Ban::Time, Network>> by_end_;
    std::array<std::map<unsigned, std::size_t>, 2> sizes_;  ///< Of networks in IPv6 and in IPv4: how many of each.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/ban_list.hpp>
#endif
