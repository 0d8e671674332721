// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>

namespace instancer {

/// What happens to a member of a channel that does not take what the others send.
enum class SlowMember {
    wait,        ///< The others wait, as long as it takes.
    disconnect,  ///< They wait; when it has held them up for too long its connection ends.
    queue,       ///< Nobody waits; when too much is queued for it its connection ends.
};

/// How bytes are treated that are sent while nobody else is in the channel.
enum class SentAlone {
    discard,  ///< Nobody gets them.
    hold,     ///< The next member that joins gets them. The sender waits when there are too many.
};

/// What the end of a member's sending means.
enum class MemberEnd {
    leave,  ///< It leaves, after it has got what was sent before: nobody can know whether it still listens.
    stay,   ///< It stays and listens, until its connection ends.
    pass,   ///< The other member's input ends, as on a direct connection. A channel has two members then, and a member
            ///< that has gone without an end has the other one reset.
};

/// How the channels of a RelayBackend work.
class RelayOptions {
public:
    std::size_t max_members = 0;         ///< Of one channel; 0: no limit.
    bool echo = false;                   ///< Senders get their own bytes, too.
    SlowMember slow = SlowMember::wait;  ///< What happens to a member that does not read fast enough.
    std::chrono::steady_clock::duration slow_timeout = std::chrono::seconds(10);  ///< For SlowMember::disconnect.
    std::size_t slow_queue = std::size_t{1} << 20;                                ///< Bytes, for SlowMember::queue.
    SentAlone alone = SentAlone::discard;            ///< How bytes are treated that are sent to nobody.
    std::size_t alone_limit = std::size_t{1} << 18;  ///< Bytes of a channel, for SentAlone::hold.
    MemberEnd end = MemberEnd::leave;                ///< What the end of one member means.

    RelayOptions() = default;
};

}  // namespace instancer
