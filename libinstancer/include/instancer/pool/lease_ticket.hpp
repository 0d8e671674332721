// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/dispatch.hpp>

#include <instancer/detail/pool/pool_driver.hpp>
#include <instancer/lease.hpp>
#include <instancer/pool/acquire_request.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// A place in the line for a lease. Call `wait` once.
class LeaseTicket {
public:
    /// For pools: asks `driver` for what `request` says.
    LeaseTicket(std::shared_ptr<detail::PoolDriver> driver, const asio::any_io_executor& executor,
                AcquireRequest request)
        : driver_(std::move(driver)),
          pending_(std::make_shared<detail::PoolDriver::Pending>(executor, std::move(request)))
    {
        asio::dispatch(driver_->control(), [driver = driver_, pending = pending_] { driver->acquire(pending); });
    }

    /// Whether `wait` would complete at once.
    bool ready() const noexcept { return pending_->lease().ready(); }

    /// Waits for the lease, on the executor that the ticket was made for.
    ///
    /// Cancellation: terminal; an instance that only this ticket waited for is stopped.
    /// Errors: those of `InstancePool::acquire`.
    asio::awaitable<Result<Lease>> wait() const { return wait_for(driver_, pending_); }

private:
    using DriverPtr = std::shared_ptr<detail::PoolDriver>;
    using PendingPtr = std::shared_ptr<detail::PoolDriver::Pending>;

    static asio::awaitable<Result<Lease>> wait_for(DriverPtr driver, PendingPtr pending)
    {
        auto lease = co_await pending->lease().wait();
        if (lease)
            co_return std::move(*lease);
        asio::dispatch(driver->control(), [driver, pending] { driver->abandon(pending); });
        co_return fail(Errc::cancelled);
    }

    DriverPtr driver_;
    PendingPtr pending_;
};

}  // namespace instancer
