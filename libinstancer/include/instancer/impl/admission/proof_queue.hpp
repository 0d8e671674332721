// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <asio/error.hpp>
#include <asio/this_coro.hpp>

#include <instancer/admission/proof_queue.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<bool>> ProofQueue::verify(Source source, std::function<bool()> check)
{
    const auto executor = co_await asio::this_coro::executor;
    const auto verdict = std::make_shared<OneShot<bool>>(executor);
    push(Job{source, std::move(check), verdict});
    threads_.post([this] { do_next(); });
    const auto right = co_await verdict->wait();
    if (!right)
        co_return fail(std::error_code(asio::error::operation_aborted));
    co_return *right;
}

INSTANCER_DECL void ProofQueue::push(Job job)
{
    const std::lock_guard lock(mutex_);
    const bool failed = failures_.recent(job.source, std::chrono::steady_clock::now()) != 0;
    const Source source = job.source;
    (failed ? suspects_ : queue_).push(source, std::move(job));
}

INSTANCER_DECL std::optional<ProofQueue::Job> ProofQueue::pop()
{
    const std::lock_guard lock(mutex_);
    auto job = queue_.pop();
    return job ? std::move(job) : suspects_.pop();
}

INSTANCER_DECL void ProofQueue::do_next()
{
    const auto job = pop();
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

}  // namespace instancer
