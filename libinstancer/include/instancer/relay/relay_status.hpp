// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace instancer {

/// What there is to say about a member of a channel.
class RelayMemberStatus {
public:
    std::uint64_t session = 0;  ///< Its number in its Server.
    std::string client;         ///< Who it is.
    std::size_t queued = 0;     ///< Bytes that it has yet to take.
    bool waits = false;         ///< For others to take what it sends.
    bool ended = false;         ///< It has ended its sending.

    RelayMemberStatus() = default;
};

/// What there is to say about a channel.
class RelayChannelStatus {
public:
    std::string name;                        ///< Name of the channel.
    std::vector<RelayMemberStatus> members;  ///< Who is in it.
    std::size_t held = 0;                    ///< Bytes for who joins next.

    RelayChannelStatus() = default;
};

}  // namespace instancer
