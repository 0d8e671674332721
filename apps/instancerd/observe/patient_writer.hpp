// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>

namespace instancer::daemon {

/// Writes to a descriptor that may be a pipe which nobody reads for a while.
///
/// Threads: one at a time; `close` on any.
class PatientWriter {
public:
    /// Lifetime: the descriptor is somebody else's.
    explicit PatientWriter(int fd) : fd_(fd) {}

    /// From now on nobody is waited for who has not read for a moment.
    void close() noexcept { closing_ = true; }

    /// Waits until all is written, or that fails. How many bytes were; where not all of them, errno says why.
    std::size_t write(std::string_view text);

private:
    bool wait_for_reader();

    const int fd_;
    std::atomic<bool> closing_ = false;
    bool gave_up_ = false;
};

}  // namespace instancer::daemon
