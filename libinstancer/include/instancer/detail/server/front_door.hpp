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
#include <asio/error.hpp>

#include <instancer/acceptor.hpp>
#include <instancer/async/as_result.hpp>
#include <instancer/detail/async/deadline.hpp>
#include <instancer/events.hpp>
#include <instancer/text/exception_text.hpp>
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
              TakeIn take_in, std::function<void()> on_over);

    /// Begins to take clients in; not after `close`.
    void open();

    /// Has the system refuse clients until `resume`.
    void pause();

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

    /// Where it listens; nowhere once it is closed.
    std::vector<std::string> addresses() const;

    /// Nobody is being taken in any more.
    bool is_over() const noexcept { return loops_ == 0; }

    /// A client that was taken in is on its way to its instance. Threads: any.
    void set_out() noexcept { ++on_their_way_; }

    /// It has arrived, or is gone. Threads: any.
    void arrived() noexcept { --on_their_way_; }

private:
    static constexpr std::size_t crowd = 16;

    asio::awaitable<void> accept_loop(Acceptor& acceptor);

    asio::awaitable<Result<void>> take_client(Acceptor& acceptor);

    void resume(bool tell);

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

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/server/front_door.hpp>
#endif
