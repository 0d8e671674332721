// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/dispatch.hpp>

#include <instancer/detail/pool/pool_driver.hpp>
#include <instancer/detail/pool/waiting_clients.hpp>
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
        : driver_(std::move(driver)), client_(std::make_shared<detail::WaitingClient>(executor, std::move(request)))
    {
        asio::dispatch(driver_->control(), [driver = driver_, client = client_] { driver->acquire(client); });
    }

    /// Whether `wait` would complete at once.
    bool ready() const noexcept { return client_->lease().ready(); }

    /// Waits for the lease, on the executor that the ticket was made for.
    ///
    /// Cancellation: terminal; an instance that only this ticket waited for is stopped.
    /// Errors: those of `InstancePool::acquire`.
    asio::awaitable<Result<Lease>> wait() const { return wait_for(driver_, client_); }

private:
    using DriverPtr = std::shared_ptr<detail::PoolDriver>;

    static asio::awaitable<Result<Lease>> wait_for(DriverPtr driver, detail::WaitingClientPtr client)
    {
        auto lease = co_await client->lease().wait();
        if (lease)
            co_return std::move(*lease);
        asio::dispatch(driver->control(), [driver, client] { driver->abandon(client); });
        co_return fail(Errc::cancelled);
    }

    DriverPtr driver_;
    detail::WaitingClientPtr client_;
};

}  // namespace instancer
