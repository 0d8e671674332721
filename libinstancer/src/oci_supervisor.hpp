// SPDX-License-Identifier: MIT
// The library's end of what it says to instancer-init, the first process of a container.
#pragma once

#include <optional>
#include <span>
#include <utility>

#include <sys/types.h>

#include <instancer/detail/process/supervisor_message.hpp>
#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail::inline oci {

/// Two ends of a connection for SupervisorMessage: the library's, which does not block, and that of instancer-init.
class SupervisorEnds {
public:
    SupervisorEnds(UniqueFd library, UniqueFd supervisor) : ours(std::move(library)), theirs(std::move(supervisor)) {}

    static Result<SupervisorEnds> make();

    UniqueFd ours;
    UniqueFd theirs;
};

/// What instancer-init said.
class SupervisorAnswer {
public:
    SupervisorMessage message;
    UniqueFd descriptor;  ///< That came with it.
    pid_t pid = 0;        ///< Of instancer-init, as this process sees it.

    SupervisorAnswer() = default;
};

/// Sends a message, with copies of the descriptors.
///
/// Errors: what the system reports, as when the other end is gone.
Result<void> tell_supervisor(int end, SupervisorMessage::Kind kind, std::span<const int> descriptors = {});

/// The next message; none when there is none yet. The end of them all is an error.
Result<std::optional<SupervisorAnswer>> hear_supervisor(int end);

/// A TCP socket in the network of the container whose instancer-init takes these requests.
///
/// Time: blocks, for a few seconds at most.
/// Errors: what the system reports.
/// Concurrency: one call at a time.
Result<UniqueFd> ask_for_socket(int requests, int family);

}  // namespace instancer::detail::inline oci
