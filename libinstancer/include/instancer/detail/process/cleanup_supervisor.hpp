// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include <instancer/async/helper_threads.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/process/cleanup_process.hpp>
#include <instancer/events.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Keeps a cleanup process running: another takes the place of one that is killed.
///
/// Threads: the executor, but for `start`.
class CleanupSupervisor {
public:
    /// Starts a cleanup process. Runs on a helper thread.
    using Starter = std::function<Result<CleanupProcess>()>;

    /// Lifetime: `helpers` and `events` must outlive its work, and `helpers` be joined before it goes.
    CleanupSupervisor(asio::any_io_executor executor, HelperThreads& helpers, std::string service, Events& events)
        : executor_(executor),
          helpers_(helpers),
          service_(std::move(service)),
          events_(events),
          pause_(executor_),
          end_(executor_)
    {
    }

    /// Starts the first one, and sets how it is done.
    ///
    /// Threads: a helper thread, before `watch`.
    Result<void> start(Starter starter)
    {
        starter_ = std::move(starter);
        return start();
    }

    /// Watches it from now on.
    void watch();

private:
    /// A guess.
    static constexpr std::chrono::seconds shortest_life{1};

    Result<void> start();

    /// At once, but not for one that has hardly lived.
    void replace_soon(std::chrono::steady_clock::duration lived);

    asio::awaitable<void> replace();

    const asio::any_io_executor executor_;
    HelperThreads& helpers_;
    const std::string service_;
    Events& events_;
    Starter starter_;
    std::optional<CleanupProcess> process_;
    std::chrono::steady_clock::time_point began_;
    Deadline pause_;
    asio::posix::stream_descriptor end_;  ///< Of the process: goes before that.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/process/cleanup_supervisor.hpp>
#endif
