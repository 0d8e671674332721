// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <type_traits>
#include <utility>

#include <asio/this_coro.hpp>

#include <instancer/async/one_shot.hpp>
#include <instancer/result.hpp>

namespace instancer::detail {

/// Threads for calls that may block for as long as they like: nobody waits for such a thread, not even the end of the
/// process. A thread is there only while there is something to do.
class DetachedThreads {
public:
    /// At most `most` calls go on at once; others wait for their turn.
    explicit DetachedThreads(std::size_t most) : queue_(std::make_shared<Queue>(most)) {}

    /// Runs `call`, which returns a Result, on a thread and resumes on the awaiting coroutine's executor.
    ///
    /// Cancellation: at once; a call that has begun goes on by itself.
    /// Errors: those of the call, which must not throw; Errc::cancelled; what the system says when it has no thread.
    /// Lifetime: `call` owns all that it uses.
    template <class Call>
    asio::awaitable<std::invoke_result_t<Call&>> run(Call call)
    {
        using Value = std::invoke_result_t<Call&>;
        const auto executor = co_await asio::this_coro::executor;
        const auto answer = std::make_shared<OneShot<Value>>(executor);
        const auto line = std::make_shared<Line<Value>>(answer);
        const LineEnd<Value> end(line);
        auto task = [line, call = std::move(call)]() mutable {
            if (line->is_open())
                line->deliver(call());
        };
        if (auto begun = post(queue_, std::move(task)); !begun)
            co_return fail(std::move(begun.error()));
        auto value = co_await answer->wait();
        if (!value)
            co_return fail(Errc::cancelled);
        co_return std::move(*value);
    }

private:
    /// Leads from a call to who waits for it, until that one gives up: its executor may be gone then.
    template <class Value>
    class Line {
    public:
        explicit Line(std::shared_ptr<OneShot<Value>> receiver) : receiver_(std::move(receiver)) {}

        bool is_open()
        {
            const std::lock_guard lock(mutex_);
            return receiver_ != nullptr;
        }

        void deliver(Value value)
        {
            const std::lock_guard lock(mutex_);
            if (receiver_)
                receiver_->complete(std::move(value));
        }

        void cut()
        {
            const std::lock_guard lock(mutex_);
            receiver_.reset();
        }

    private:
        std::mutex mutex_;
        std::shared_ptr<OneShot<Value>> receiver_;
    };

    /// The receiver's end, in the frame of its coroutine.
    template <class Value>
    class LineEnd {
    public:
        explicit LineEnd(std::shared_ptr<Line<Value>> line) : line_(std::move(line)) {}
        LineEnd(const LineEnd&) = delete;
        LineEnd& operator=(const LineEnd&) = delete;
        ~LineEnd() { line_->cut(); }

    private:
        std::shared_ptr<Line<Value>> line_;
    };

    struct Queue {
        explicit Queue(std::size_t limit) : most(limit) {}

        const std::size_t most;
        std::mutex mutex;
        std::deque<std::function<void()>> calls;
        std::size_t threads = 0;
    };
    using QueuePtr = std::shared_ptr<Queue>;

    static Result<void> post(const QueuePtr& queue, std::function<void()> call)
    {
        const std::lock_guard lock(queue->mutex);
        queue->calls.push_back(std::move(call));
        if (queue->threads == queue->most)
            return {};
        try {
            std::thread([queue] { work(*queue); }).detach();
            ++queue->threads;
        } catch (const std::system_error& error) {
            // Those that there are get to it.
            if (queue->threads > 0)
                return {};
            queue->calls.pop_back();
            return fail(error.code(), "starting a thread");
        }
        return {};
    }

    static void work(Queue& queue)
    {
        std::unique_lock lock(queue.mutex);
        while (!queue.calls.empty()) {
            auto call = std::move(queue.calls.front());
            queue.calls.pop_front();
            lock.unlock();
            call();
            call = nullptr;
            lock.lock();
        }
        --queue.threads;
    }

    const QueuePtr queue_;
};

}  // namespace instancer::detail
