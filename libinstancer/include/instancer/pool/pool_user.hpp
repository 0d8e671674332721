// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/detail/pool/pool_driver.hpp>
#include <instancer/pool/instance_pool.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// One user of an InstancePool, such as a Server: the pool starts with the first of them, drains when all
/// of them drain, and closes with the last.
///
/// Threads: every member on the pool's control executor.
class PoolUser {
public:
    /// Takes part in `pool` from now on.
    explicit PoolUser(const InstancePool& pool) : driver_(pool.driver_) { ++driver_->users().active; }
    PoolUser(const PoolUser&) = delete;
    PoolUser& operator=(const PoolUser&) = delete;
    /// Leaves, as by `close`; a pool that no user has started, drained or closed stays open.
    ~PoolUser()
    {
        if (driver_->users().begun)
            close();
        else
            take_from(stage_);
    }

    /// Starts the pool, or waits until another user has done so.
    ///
    /// Cancellation, errors: as those of `InstancePool::start`.
    asio::awaitable<Result<void>> start()
    {
        driver_->users().begun = true;
        return driver_->start();
    }

    /// As `InstancePool::drain`, once every user has asked for it or closed.
    void drain()
    {
        if (stage_ == Stage::active)
            move_to(Stage::draining);
    }

    /// As `InstancePool::close`, once every user has asked for it.
    void close()
    {
        if (stage_ != Stage::closed)
            move_to(Stage::closed);
    }

    /// Completes when, after `close`, no instance is left; at once while others use the pool.
    ///
    /// Cancellation: any type; nothing is changed by it.
    asio::awaitable<void> wait_empty() { return wait_for(driver_); }

private:
    enum class Stage { active, draining, closed };

    void take_from(Stage stage) noexcept
    {
        auto& users = driver_->users();
        users.active -= stage == Stage::active ? 1 : 0;
        users.draining -= stage == Stage::draining ? 1 : 0;
    }

    void move_to(Stage stage)
    {
        take_from(std::exchange(stage_, stage));
        auto& users = driver_->users();
        users.begun = true;
        users.draining += stage == Stage::draining ? 1 : 0;
        if (users.active != 0)
            return;
        if (users.draining != 0)
            driver_->drain();
        else
            driver_->close();
    }

    static asio::awaitable<void> wait_for(std::shared_ptr<detail::PoolDriver> driver)
    {
        if (driver->users().active == 0 && driver->users().draining == 0)
            co_await driver->wait_empty();
    }

    std::shared_ptr<detail::PoolDriver> driver_;
    Stage stage_ = Stage::active;
};

}  // namespace instancer
