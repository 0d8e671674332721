// SPDX-License-Identifier: MIT
#pragma once

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/detail/server/front_door.hpp>

namespace instancer::detail {

INSTANCER_DECL FrontDoor::FrontDoor(Workers& workers, std::string service,
                                    std::vector<std::unique_ptr<Acceptor>> acceptors, Events& events, TakeIn take_in,
                                    std::function<void()> on_over)
    : workers_(workers),
      service_(std::move(service)),
      acceptors_(std::move(acceptors)),
      events_(events),
      take_in_(std::move(take_in)),
      on_over_(std::move(on_over)),
      again_(workers.control())
{
}

INSTANCER_DECL void FrontDoor::open()
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

INSTANCER_DECL std::vector<std::string> FrontDoor::addresses() const
{
    std::vector<std::string> all;
    if (!closed_)
        for (const auto& acceptor : acceptors_)
            all.push_back(acceptor->address());
    return all;
}

INSTANCER_DECL void FrontDoor::pause()
{
    again_.cancel();
    for (const auto& acceptor : acceptors_)
        if (const auto paused = acceptor->pause(); !paused)
            events_.warning(service_, paused.error().message() + "; it stays open, its clients are reset");
}

INSTANCER_DECL asio::awaitable<void> FrontDoor::accept_loop(Acceptor& acceptor)
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

INSTANCER_DECL asio::awaitable<Result<void>> FrontDoor::take_client(Acceptor& acceptor)
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

INSTANCER_DECL void FrontDoor::resume(bool tell)
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

}  // namespace instancer::detail
