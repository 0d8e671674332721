// SPDX-License-Identifier: MIT
#pragma once

#include <mutex>
#include <optional>

#include <asio/error.hpp>
#include <asio/this_coro.hpp>

#include <instancer/admission/fair_places.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/detail/container/fair_queue.hpp>

namespace instancer {

class FairPlaces::Shared {
public:
    using Turn = OneShot<Place>;

    explicit Shared(std::size_t count) : free_(count) {}

    /// Whether there was a place; otherwise `turn` waits for one.
    bool take(const Source& source, const std::shared_ptr<Turn>& turn)
    {
        const std::lock_guard lock(mutex_);
        if (free_ == 0) {
            queue_.push(source, turn);
            return false;
        }
        --free_;
        return true;
    }

    /// The next client that still waits has the place from now on; without one it is free.
    std::shared_ptr<Turn> give_back()
    {
        const std::lock_guard lock(mutex_);
        while (const auto next = queue_.pop())
            if (auto turn = next->lock())
                return turn;
        ++free_;
        return nullptr;
    }

private:
    std::mutex mutex_;  ///< Guards what follows.
    std::size_t free_;
    detail::FairQueue<Source, std::weak_ptr<Turn>> queue_;
};

INSTANCER_DECL FairPlaces::FairPlaces(std::size_t count) : shared_(std::make_shared<Shared>(count)) {}

INSTANCER_DECL FairPlaces::Place::~Place()
{
    if (!owner_)
        return;
    if (const auto turn = owner_->give_back())
        turn->complete(Place(std::move(owner_)));
}

INSTANCER_DECL asio::awaitable<Result<FairPlaces::Place>> FairPlaces::take(Source source)
{
    const auto executor = co_await asio::this_coro::executor;
    const auto turn = std::make_shared<Shared::Turn>(executor);
    if (shared_->take(source, turn))
        co_return Place(shared_);
    auto place = co_await turn->wait();
    if (!place)
        co_return fail(asio::error::make_error_code(asio::error::operation_aborted));
    co_return std::move(*place);
}

}  // namespace instancer
