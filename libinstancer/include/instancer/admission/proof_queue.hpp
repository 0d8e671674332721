// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include <asio/awaitable.hpp>

#include <instancer/acceptor/source.hpp>
#include <instancer/admission/failure_counts.hpp>
#include <instancer/async/helper_threads.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/detail/container/fair_queue.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Verifies answers on threads of its own, as many at once as it has threads. Sources of clients take turns. Those that
/// gave a wrong answer lately have a further thread, of the lowest priority, and hear of the next one late: however
/// many give wrong answers, others do not wait for them, and few are verified.
///
/// Lifetime: whoever waits holds it.
/// Threads: any.
class ProofQueue {
public:
    /// A span of time.
    using Duration = std::chrono::steady_clock::duration;

    /// Starts `threads` threads, and one for sources that gave a wrong answer lately.
    explicit ProofQueue(std::size_t threads = 1);
    ProofQueue(const ProofQueue&) = delete;
    ProofQueue& operator=(const ProofQueue&) = delete;

    /// What `check` returns, called on a thread of the queue when the client's turn comes; false when it throws.
    ///
    /// Time: after a wrong answer, `refusal_delay` longer.
    /// Cancellation: terminal; a check that has not begun is not made.
    /// Errors: asio::error::operation_aborted.
    asio::awaitable<Result<bool>> verify(Source source, std::function<bool()> check);

    /// How long a client waits to hear that its answer is wrong, with so many `failures` of its source lately: nothing
    /// for the first one, who may have mistyped, then half a second, and twice as long each time.
    static constexpr Duration refusal_delay(std::size_t failures) noexcept
    {
        return failures < 2 ? Duration(0) : std::chrono::milliseconds(250) * (1 << (std::min(failures, counted) - 1));
    }

private:
    /// A guess: then a client that answers wrong all the time does so every 8 s.
    static constexpr std::size_t counted = 6;

    /// How long a wrong answer is remembered. A guess.
    static constexpr std::chrono::minutes failure_remembered{2};

    /// One answer. Nobody waits for it any more once the weak pointer has expired.
    struct Job {
        Source source;
        std::function<bool()> check;
        std::weak_ptr<OneShot<bool>> verdict;
    };

    using Line = detail::FairQueue<Source, Job>;

    void push(Job job);

    std::optional<Job> pop(Line& line);

    void do_next(Line& line);

    std::size_t failures_of(const Source& source);

    std::mutex mutex_;  ///< Guards what follows, but for the threads.
    FailureCounts failures_{counted, failure_remembered};
    Line line_;
    Line suspects_;  ///< Of sources that failed lately.
    HelperThreads suspects_thread_{1};
    HelperThreads threads_;  ///< The first to go, as the thread of suspects: their calls use the rest.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/proof_queue.hpp>
#endif
