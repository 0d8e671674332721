// SPDX-License-Identifier: MIT
// The load that is put on whatever passes connections on, and the servers behind it.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <instancer/unique_fd.hpp>

namespace bench {

/// How long one measurement of `bulk` and `round_trips` lasts, without its warm-up.
inline constexpr std::chrono::milliseconds measured_for{1500};

/// As many connections as the system lets us have.
void raise_descriptor_limit();

/// What the proxies connect to: echoes, or only counts what it gets. One thread.
class Sink {
public:
    enum class Kind { echo, discard };

    explicit Sink(Kind kind);
    ~Sink();

    std::uint16_t port() const noexcept { return port_; }
    std::uint64_t received() const noexcept { return received_; }

private:
    void watch(int fd);
    void run();
    void accept();
    void serve(int fd, std::vector<char>& buffer);

    Kind kind_;
    std::uint16_t port_;
    instancer::UniqueFd listener_;
    instancer::UniqueFd epoll_;
    instancer::UniqueFd stop_;
    std::deque<instancer::UniqueFd> open_;
    std::atomic<std::uint64_t> received_ = 0;
    std::jthread thread_;
};

/// Connections to `port` of 127.0.0.1.
std::vector<instancer::UniqueFd> connections(std::uint16_t port, int count);

/// GiB per second over `count` connections, and the proxy's processor seconds per GiB.
std::pair<double, double> bulk(std::uint16_t port, const Sink& sink, int count, pid_t proxy);

/// Of round trips.
struct Trips {
    double rate;  ///< In one second.
    double tail;  ///< 99th percentile, in microseconds.
    double cost;  ///< The proxy's processor time for each, in microseconds.
};

/// Round trips over `count` connections.
Trips round_trips(std::uint16_t port, int count, pid_t proxy);

/// Processor time of a process and its children, in seconds, as the scheduler counts it; 0 for no process.
double processor_time(pid_t pid);

}  // namespace bench
