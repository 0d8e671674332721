// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <asio/error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <sys/resource.h>

#include <instancer/admission/proof_queue.hpp>
#include <instancer/async/as_result.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL ProofQueue::ProofQueue(std::size_t threads) : threads_(threads)
{
    suspects_thread_.post([] { ::setpriority(PRIO_PROCESS, 0, 19); });
}

INSTANCER_DECL asio::awaitable<Result<bool>> ProofQueue::verify(Source source, std::function<bool()> check)
{
    const auto executor = co_await asio::this_coro::executor;
    const auto verdict = std::make_shared<OneShot<bool>>(executor);
    push(Job{source, std::move(check), verdict});
    const auto right = co_await verdict->wait();
    if (right && *right)
        co_return true;
    asio::steady_timer pause(executor, right ? refusal_delay(failures_of(source)) : Duration(0));
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (!is_cancelled(cancellation))
        co_await pause.async_wait(as_result);
    if (is_cancelled(cancellation))
        co_return fail(std::error_code(asio::error::operation_aborted));
    co_return false;
}

INSTANCER_DECL void ProofQueue::push(Job job)
{
    const std::lock_guard lock(mutex_);
    const bool failed = failures_.recent(job.source, std::chrono::steady_clock::now()) != 0;
    Line& line = failed ? suspects_ : line_;
    const Source source = job.source;
    line.push(source, std::move(job));
    (failed ? suspects_thread_ : threads_).post([this, &line] { do_next(line); });
}

INSTANCER_DECL std::optional<ProofQueue::Job> ProofQueue::pop(Line& line)
{
    const std::lock_guard lock(mutex_);
    return line.pop();
}

INSTANCER_DECL void ProofQueue::do_next(Line& line)
{
    const auto job = pop(line);
    const auto verdict = job ? job->verdict.lock() : nullptr;
    if (!verdict)
        return;
    bool right = false;
    try {
        right = job->check();
    } catch (...) {
        // Out of memory: the client may try again.
    }
    if (!right) {
        const std::lock_guard lock(mutex_);
        failures_.note(job->source, std::chrono::steady_clock::now());
    }
    verdict->complete(right);
}

INSTANCER_DECL std::size_t ProofQueue::failures_of(const Source& source)
{
    const std::lock_guard lock(mutex_);
    return failures_.recent(source, std::chrono::steady_clock::now());
}

}  // namespace instancer
