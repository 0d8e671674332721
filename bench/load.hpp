// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace bench {

using Clock = std::chrono::steady_clock;

/// A blocking client connection to 127.0.0.1.
class Connection {
public:
    Connection() = default;
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { close(); }

    bool open(std::uint16_t port);
    bool send(std::string_view data);
    bool receive_byte();
    /// Appends what comes next.
    bool receive(std::string& text);
    void close();

private:
    int fd_ = -1;
};

/// Connects, sends a byte, awaits its echo, closes; `clients` at a time for `duration`. Rounds per second.
double echo_rate(std::uint16_t port, int clients, std::chrono::milliseconds duration);

/// Microseconds from before the connect to the first byte received, which `say` asks for. Median of `count`.
double first_byte_time(std::uint16_t port, std::string_view say, int count, std::chrono::microseconds pause);

}  // namespace bench
