// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>

#include <daemon.hpp>
#include <listener.hpp>

namespace chaos {

/// A stretch of bad network: passes connections on and stalls them, slices their bytes into pieces of any size, in
/// buffers tiny and huge, and cuts some of them off, in order or with a reset. It never changes a byte.
///
/// Threads: has one of its own.
class Gate {
public:
    /// Passes on to `target`. Of the connections, `cut_percent` are cut somewhere; `seed` decides everything.
    Gate(std::string target, int cut_percent, unsigned seed);
    ~Gate();

    const std::string& address() const noexcept { return listener_.address(); }

    /// Connections that were cut.
    std::size_t cuts() const noexcept { return cuts_; }

private:
    class Passage;

    void run();

    const std::string target_;
    const int cut_percent_;
    const unsigned seed_;
    daemon_test::Listener listener_;
    std::atomic<std::size_t> cuts_{0};
    std::atomic<bool> over_{false};
    std::thread thread_;
};

}  // namespace chaos
