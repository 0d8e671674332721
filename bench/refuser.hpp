// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <thread>

namespace bench {

/// A server that asks each client for a proof of work, refuses whatever it answers, and does nothing else: what its
/// clients cost a machine by themselves. It has a thread of its own.
class Refuser {
public:
    /// Listens on that port of 127.0.0.1.
    explicit Refuser(std::uint16_t port);
    Refuser(const Refuser&) = delete;
    Refuser& operator=(const Refuser&) = delete;
    ~Refuser();

private:
    void run(const std::stop_token& stop) const;
    void accept() const;

    int listener_;
    int poller_;
    std::jthread thread_;  ///< The first to go.
};

}  // namespace bench
