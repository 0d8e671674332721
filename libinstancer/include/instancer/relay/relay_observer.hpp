// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <instancer/client.hpp>

namespace instancer {

/// A member of a channel.
class RelayMemberInfo {
public:
    /// The member with that number, its client and its channel.
    RelayMemberInfo(std::uint64_t number, ClientInfo who, std::string where)
        : session(number), client(std::move(who)), channel(std::move(where))
    {
    }

    std::uint64_t session;  ///< Its number in its Server.
    ClientInfo client;      ///< The client.
    std::string channel;    ///< The channel that it is in.
};

/// Hears what happens in channels. Derive, and override what is of interest.
///
/// Threads: called from any worker, from several at once; nothing may be done with the channel meanwhile.
class RelayObserver {
public:
    virtual ~RelayObserver() = default;

    /// `members`: how many there are now.
    virtual void joined(const RelayMemberInfo& member, std::size_t members) { (void)member, (void)members; }
    /// A member has left; `members` stay.
    virtual void left(const RelayMemberInfo& member, std::size_t members) { (void)member, (void)members; }

    /// Its connection ends, because it took too little of what the others sent.
    virtual void cut(const RelayMemberInfo& member, std::string_view why) { (void)member, (void)why; }

    /// Bytes that a member sent, before anybody gets them.
    virtual void passed(const RelayMemberInfo& member, std::span<const std::byte> data) { (void)member, (void)data; }
};

}  // namespace instancer
