// SPDX-License-Identifier: MIT
#pragma once

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

/// Verifies answers on threads of its own, as many at once as it has threads. Sources of clients take turns, and those
/// that gave a wrong answer lately come after all others: however many give wrong answers, others do not wait for them.
///
/// Lifetime: whoever waits holds it.
/// Threads: any.
class ProofQueue {
public:
    /// Starts `threads` threads.
    explicit ProofQueue(std::size_t threads = 1) : threads_(threads) {}
    ProofQueue(const ProofQueue&) = delete;
    ProofQueue& operator=(const ProofQueue&) = delete;

    /// What `check` returns, called on a thread of the queue when the client's turn comes; false when it throws.
    ///
    /// Cancellation: terminal; a check that has not begun is not made.
    /// Errors: asio::error::operation_aborted.
    asio::awaitable<Result<bool>> verify(Source source, std::function<bool()> check);

private:
    /// How long a wrong answer is remembered. A guess.
    static constexpr std::chrono::minutes failure_remembered{2};

    /// One answer. Nobody waits for it any more once the weak pointer has expired.
    struct Job {
        Source source;
        std::function<bool()> check;
        std::weak_ptr<OneShot<bool>> verdict;
    };

    void push(Job job);

    std::optional<Job> pop();

    void do_next();

    std::mutex mutex_;  ///< Guards what follows, but for the threads.
    FailureCounts failures_{1, failure_remembered};
    detail::FairQueue<Source, Job> queue_;
    detail::FairQueue<Source, Job> suspects_;  ///< Of sources that failed lately.
    HelperThreads threads_;                    ///< The first to go: its calls use the rest.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/proof_queue.hpp>
#endif
