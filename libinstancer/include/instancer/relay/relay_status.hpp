// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace instancer {

/// The state of a member of a channel.
class RelayMemberStatus {
public:
    std::uint64_t session = 0;  ///< Its number in its Server.
    std::string client;         ///< Its client.
    std::size_t queued = 0;     ///< Bytes that it has yet to take.
    bool waits = false;         ///< For others to take what it sends.
    bool ended = false;         ///< It has ended its sending.

    RelayMemberStatus() = default;
};

/// The state of a channel.
class RelayChannelStatus {
public:
    std::string name;                        ///< Name of the channel.
    std::vector<RelayMemberStatus> members;  ///< The members.
    std::size_t held = 0;                    ///< Bytes for the next member that joins.

    RelayChannelStatus() = default;
};

}  // namespace instancer
