// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>

#include <instancer/detail/socket/poller.hpp>

namespace instancer {

/// The threads that serve: one io_context each. The first one is also the control executor, where pools live.
///
/// Threads: `run` on one thread; `stop` on any; the rest before `run` or on the control executor.
class Workers {
public:
    /// `count` is at least one.
    explicit Workers(std::size_t count)
    {
        for (std::size_t i = 0; i < std::max<std::size_t>(count, 1); ++i) {
            contexts_.push_back(std::make_unique<Context>());
            work_.emplace_back(contexts_.back()->get_executor());
        }
    }

    /// Destroys all work that `stop` has left unfinished.
    ///
    /// Lifetime: the server, its pool and its backend may be gone; their executors may not be used any more after this.
    ~Workers()
    {
        // What one leaves behind may still post to another one, so all are emptied before the first is destroyed; what
        // that posts in turn is the second round's.
        for (int round = 0; round < 2; ++round)
            for (auto& context : contexts_)
                context->shutdown();
    }

    /// How many there are.
    std::size_t size() const noexcept { return contexts_.size(); }

    /// The one of a worker, counted from 0.
    asio::io_context& context(std::size_t index) noexcept { return *contexts_[index]; }

    /// The executor of the first worker.
    asio::any_io_executor control() noexcept { return contexts_.front()->get_executor(); }

    /// The executor of a worker, counted from 0.
    asio::any_io_executor executor(std::size_t index) noexcept { return contexts_[index]->get_executor(); }

    /// The worker that `executor` belongs to; `size()` if none does.
    std::size_t index_of(const asio::any_io_executor& executor) const noexcept
    {
        std::size_t index = 0;
        while (index < contexts_.size() && executor != contexts_[index]->get_executor())
            ++index;
        return index;
    }

    /// Sets how long every worker looks for more bytes, with a whole processor, before it sleeps: for connections
    /// that answer each other within microseconds. 0, as at first, lets it sleep at once.
    void busy_poll(std::chrono::microseconds duration)
    {
        for (auto& context : contexts_)
            asio::use_service<detail::Poller>(*context).busy_poll(duration);
    }

    /// The worker for the next session, in turn.
    std::size_t next() noexcept
    {
        next_ = (next_ + 1) % contexts_.size();
        return next_;
    }

    /// Runs all workers, the first one on the calling thread, until `stop`. Call it once: it cannot run again.
    void run()
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 1; i < contexts_.size(); ++i)
            threads.emplace_back([this, i] { contexts_[i]->run(); });
        contexts_.front()->run();
    }

    /// Lets `run` return soon; what is still going on stays unfinished.
    void stop()
    {
        for (auto& context : contexts_)
            context->stop();
    }

private:
    struct Context final : asio::io_context {
        Context() : asio::io_context(1) {}

        using asio::io_context::shutdown;
    };

    std::vector<std::unique_ptr<Context>> contexts_;
    std::vector<asio::executor_work_guard<asio::io_context::executor_type>> work_;
    std::size_t next_ = 0;
};

}  // namespace instancer
