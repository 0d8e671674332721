// SPDX-License-Identifier: MIT
// One end of a connection, driven by a script of plain system calls, and what it sees.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <instancer/unique_fd.hpp>

namespace transparency {

using namespace std::chrono_literals;
using instancer::UniqueFd;

/// Bytes `from` to `from + size` of an endless stream in which no piece comes twice.
std::string noise(std::uint64_t seed, std::size_t from, std::size_t size);

/// How a connection ended for who reads it.
enum class Ended {
    not_seen,
    in_order,
    by_reset,  ///< A read or a write failed with ECONNRESET.
};
std::ostream& operator<<(std::ostream& out, Ended ended);

/// What one end of a connection has seen.
class Observation {
public:
    std::string data;                ///< All that it read.
    std::vector<std::size_t> marks;  ///< How much it had read when it came upon urgent data.
    std::string urgent;              ///< Urgent data that came beside the other bytes.
    Ended ended = Ended::not_seen;
    bool refused = false;  ///< A write failed.
    std::size_t sent = 0;
    std::size_t blocked_at = 0;  ///< What it had sent when nothing more was taken.
    std::string stuck;           ///< What took too long; its script ended there.
};

/// The descriptors that an end has: one socket, or two pipes; and what is to be closed together with them.
class Line {
public:
    Line() = default;
    explicit Line(UniqueFd socket) : input(std::move(socket)) {}

    UniqueFd input, output, companion;
};

/// What a script is written in. Every call waits for as long as it takes, up to a deadline that is never met unless
/// something is wrong.
///
/// Threads: one at a time.
class End {
public:
    /// `seed` decides what it sends, and in which pieces.
    End(Line line, std::uint64_t seed);

    /// Whose progress `wait_until_taken` looks at.
    void face(const End& peer) { peer_ = &peer; }

    // Sending.

    /// Sends the next bytes of its stream in pieces of random sizes, now and then with a pause until they are read.
    void send(std::size_t size) { transfer(size, false); }
    /// The same, and reads meanwhile what comes.
    void exchange(std::size_t size) { transfer(size, true); }
    /// The next byte of its stream, as urgent data.
    void send_urgent();
    /// Sends until nothing more is taken for a while, `most` bytes at most.
    void send_until_blocked(std::size_t most);
    void send_until_refused();

    // Reading.

    /// Urgent data comes in its place among the other bytes from now on.
    void take_urgent_inline();
    /// Reads until it has read `size` bytes altogether, or to the end.
    void read(std::size_t size);
    void read_to_end();

    // Ending.

    void half_close();
    void close();
    void reset();

    // Waiting.

    static void pause(std::chrono::milliseconds time);
    /// Until the peer has read everything that was sent.
    void wait_until_taken();
    /// Until the peer has seen the end.
    void wait_until_end_seen();
    /// Until the system at the other end of the wire has everything that was sent.
    void wait_until_acknowledged();
    /// Until the peer calls `signal`.
    void wait_for_signal();
    void signal() { signalled_ = true; }
    /// Until there is something to read.
    void wait_readable();
    /// Until there is urgent data to read.
    void wait_urgent();
    /// Until the connection has failed or is over in both directions, without reading.
    void wait_gone();

    /// What was seen; complete when the script is over.
    const Observation& seen() const noexcept { return seen_; }
    Observation& seen() noexcept { return seen_; }

private:
    int input() const noexcept { return line_.input.get(); }
    int output() const noexcept { return line_.output ? line_.output.get() : line_.input.get(); }

    void transfer(std::size_t size, bool reading);
    std::size_t random_size();
    /// False when it would block.
    bool send_some(std::size_t most, int flags = 0);
    bool read_some();
    void await(const char* what, const std::function<bool()>& condition) const;
    /// Whether there are such events within `limit`.
    static bool poll_for(int fd, short events, std::chrono::milliseconds limit);
    static void wait_for(const char* what, int fd, short events);

    Line line_;
    std::uint64_t seed_;
    std::minstd_rand random_;
    const End* peer_ = nullptr;
    bool socket_;
    bool inline_ = false;
    Observation seen_;
    std::atomic<std::size_t> received_{0};
    std::atomic<bool> end_seen_{false};
    std::atomic<bool> signalled_{false};
};

/// What both ends do.
class Script {
public:
    std::function<void(End&)> client, server;
};

/// What both ends have seen.
class Outcome {
public:
    Observation client, server;
};

/// Runs both scripts, each in a thread; at the end both connections are closed.
Outcome play(const Script& script, std::pair<Line, Line> lines, std::uint64_t seed = 1);

inline constexpr std::uint64_t client_seed(std::uint64_t seed) { return 2 * seed; }
inline constexpr std::uint64_t server_seed(std::uint64_t seed) { return 2 * seed + 1; }

}  // namespace transparency
