// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <memory>

#include <asio/any_io_executor.hpp>
#include <asio/steady_timer.hpp>

#include <instancer/detail/pool/waiting_clients.hpp>
#include <instancer/pool/pool_state.hpp>

namespace instancer::detail {

/// Tells clients that wait for room their places in the queue, when these change.
///
/// Threads: the control executor.
class QueueTeller {
public:
    /// Lifetime: `state` and `clients` must outlive it.
    QueueTeller(const asio::any_io_executor& control, const PoolState& state, const WaitingClients& clients)
        : state_(state), clients_(clients), timer_(control)
    {
    }

    /// Some client wants to know.
    void enable() noexcept { enabled_ = true; }

    /// Tells them some time after the queue may have changed, or at once if that has not been for a while. `pool` owns
    /// the teller.
    void tell_later(std::weak_ptr<const void> pool);

private:
    using Clock = std::chrono::steady_clock;

    /// How often clients are told at most: somebody is to read that. A guess.
    static constexpr std::chrono::milliseconds pause{500};

    void tell();

    const PoolState& state_;
    const WaitingClients& clients_;
    asio::steady_timer timer_;
    Clock::time_point told_{};
    bool enabled_ = false;
    bool due_ = false;  ///< The timer runs.
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/queue_teller.hpp>
#endif
