// SPDX-License-Identifier: MIT
// What the library and instancer-init, the first process of a container, tell each other. Shared with instancer-init,
// which has no C++ library: plain data.
#pragma once

namespace instancer::detail {

/// A message of a SOCK_SEQPACKET socket; descriptors may come with it. When the library's end closes, all that runs in
/// the container ends.
class SupervisorMessage {
public:
    enum class Kind : int {
        // From the library.
        start,      ///< Start the program; the descriptors are its standard input, output and error.
        look,       ///< Say whether the program is there, and end.
        terminate,  ///< Send SIGTERM to the process group of the program.
        // From instancer-init.
        running,  ///< The program was executed; the descriptor is its terminal, or its SocketRequest socket.
        failed,   ///< It was not; the value is the system's number for why.
        ended,    ///< It has ended; the value is its status as of wait(2). All others were killed.
    };

    Kind kind = Kind::start;
    int value = 0;
};

/// Asks instancer-init for a TCP socket in the container's network, which comes with an answer of the same kind.
class SocketRequest {
public:
    int family = 0;
    unsigned number = 0;  ///< The answer has that of its request.
    int error = 0;        ///< Of the answer: why there is none.
};

/// At which descriptor instancer-init finds its end.
inline constexpr int supervisor_descriptor = 3;

/// Where instancer-init is in a container.
inline constexpr char supervisor_path[] = "/dev/instancer-init";

}  // namespace instancer::detail
