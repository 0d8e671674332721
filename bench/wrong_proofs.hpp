// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace bench {

/// Clients that offer wrong proofs of work as fast as they can, each a new one when its last was refused, until they
/// are destroyed. They have a thread of their own, at the lowest priority: real ones would have machines of their own.
class WrongProofs {
public:
    /// All of 127.0.0.2, or each of an address of its own.
    WrongProofs(std::uint16_t port, std::size_t clients, bool one_address);
    WrongProofs(const WrongProofs&) = delete;
    WrongProofs& operator=(const WrongProofs&) = delete;
    ~WrongProofs();

    /// Proofs that were refused so far.
    std::size_t refused() const noexcept { return refused_; }

private:
    void run(const std::stop_token& stop);
    void connect(std::size_t client);
    void go_on(std::size_t client, std::uint32_t events);

    const std::uint16_t port_;
    const bool one_address_;
    const int poller_;
    std::vector<int> sockets_;
    std::atomic<std::size_t> refused_ = 0;
    std::jthread thread_;  ///< The first to go.
};

}  // namespace bench
