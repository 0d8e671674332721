// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/detail/async/asio_compat.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/detail/text/exception_text.hpp>
#include <instancer/events.hpp>
#include <instancer/workers.hpp>

namespace instancer::detail {

/// Takes the clients of one service in, by all of its acceptors.
///
/// Lifetime: until `is_over`.
/// Threads: the control executor of the workers, if not said otherwise.
class FrontDoor {
public:
    /// Takes over a client for a worker.
    using TakeIn = std::function<void(std::size_t worker, Accepted& accepted)>;

    FrontDoor(Workers& workers, std::string service, std::vector<std::unique_ptr<Acceptor>> acceptors, Events& events,
              TakeIn take_in, std::function<void()> on_over)
        : workers_(workers),
          service_(std::move(service)),
          acceptors_(std::move(acceptors)),
          events_(events),
          take_in_(std::move(take_in)),
          on_over_(std::move(on_over)),
          again_(workers.control())
    {
    }

    /// Begins to take clients in; not after `close`.
    void open()
    {
        if (closed_)
            return;
        for (const auto& acceptor : acceptors_) {
            events_.listening(service_, acceptor->address());
            auto loop = accept_loop(*acceptor);
            asio::co_spawn(workers_.control(), std::move(loop), asio::detached);
            ++loops_;
        }
    }

    /// Has the system refuse clients until `resume`.
    void pause()
    {
        again_.cancel();
        for (const auto& acceptor : acceptors_)
            if (const auto paused = acceptor->pause(); !paused)
                events_.warning(service_, paused.error().message() + "; it stays open, its clients are reset");
    }

    /// Listens again, or tries to until it works.
    void resume() { resume(true); }

    /// Stops listening, for good.
    void close()
    {
        closed_ = true;
        again_.cancel();
        for (const auto& acceptor : acceptors_)
            acceptor->close();
    }

    /// Nobody is being taken in any more.
    bool is_over() const noexcept { return loops_ == 0; }

    /// A client that was taken in is on its way to its instance. Threads: any.
    void set_out() noexcept { ++on_their_way_; }

    /// It has arrived, or is gone. Threads: any.
    void arrived() noexcept { --on_their_way_; }

private:
    static constexpr std::size_t crowd = 16;

    asio::awaitable<void> accept_loop(Acceptor& acceptor)
    {
        std::size_t in_a_row = 0;
        for (bool failing = false;;) {
            const auto taken = co_await take_client(acceptor);
            if (taken) {
                failing = false;
                // A crowd is not taken in before those that came first have got on, nor without a turn for all others.
                if (++in_a_row >= crowd || on_their_way_ >= crowd) {
                    in_a_row = 0;
                    co_await asio::post(workers_.control(), as_result);
                }
                continue;
            }
            if (closed_ || taken.error() == std::error_code(asio::error::operation_aborted))
                break;
            // Out of descriptors or memory, as a rule: sessions that end make room.
            if (!std::exchange(failing, true))
                events_.warning(service_, taken.error().message() + "; clients wait until it works again");
            asio::steady_timer pause(workers_.control(), std::chrono::milliseconds(100));
            co_await pause.async_wait(as_result);
        }
        --loops_;
        on_over_();
    }

    asio::awaitable<Result<void>> take_client(Acceptor& acceptor)
    {
        try {
            const auto worker = workers_.next();
            auto accepted = co_await acceptor.accept(workers_.executor(worker));
            if (!accepted)
                co_return fail(accepted.error());
            take_in_(worker, *accepted);
            co_return Result<void>();
        } catch (...) {
            co_return fail(std::make_error_code(std::errc::not_enough_memory), exception_text());
        }
    }

    void resume(bool tell)
    {
        bool all = true;
        for (const auto& acceptor : acceptors_) {
            const auto resumed = acceptor->resume();
            all = all && resumed;
            if (!resumed && tell)
                events_.warning(service_, resumed.error().message() + "; it is tried again every second");
        }
        if (!all)
            again_.set(std::chrono::seconds(1), [this] { resume(false); });
    }

    Workers& workers_;
    const std::string service_;
    std::vector<std::unique_ptr<Acceptor>> acceptors_;
    Events& events_;
    const TakeIn take_in_;
    const std::function<void()> on_over_;
    Deadline again_;  ///< Until acceptors are resumed once more.
    std::size_t loops_ = 0;
    std::atomic<std::size_t> on_their_way_ = 0;
    bool closed_ = false;
};

}  // namespace instancer::detail
