// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>

#include <asio/awaitable.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/result.hpp>

namespace instancer::daemon {

/// A service of the daemon as it runs, and what signals do to it.
///
/// Threads: the control executor of the workers.
class RunningService {
public:
    RunningService() = default;
    RunningService(const RunningService&) = delete;
    RunningService& operator=(const RunningService&) = delete;
    virtual ~RunningService() = default;

    /// Serves until drained or stopped. Calls `serving` once, when it does; not if its preparations fail.
    virtual asio::awaitable<Result<void>> run(std::function<void()> serving) = 0;

    /// Takes no more clients in and lets those that there are finish, for as long as the settings say.
    virtual void drain() = 0;
    virtual void stop() = 0;

    /// Reads its files again, on a thread of `reader`. What cannot be used leaves things as they are.
    ///
    /// Concurrency: one call at a time.
    virtual asio::awaitable<void> reload(HelperThreads& reader) = 0;

    /// Logs what is there now.
    virtual void report() = 0;

    virtual const std::string& name() const noexcept = 0;
};

}  // namespace instancer::daemon
