// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include <asio/any_io_executor.hpp>

#include <instancer/detail/async/paced_call.hpp>
#include <instancer/detail/pool/waiting_clients.hpp>
#include <instancer/pool/pool_state.hpp>
#include <instancer/pool/queue_place.hpp>

namespace instancer::detail {

/// Tells clients that wait for room their places in the queue, when these change.
///
/// Threads: the control executor.
class QueueTeller {
public:
    /// Lifetime: `state` and `clients` must outlive it.
    QueueTeller(const asio::any_io_executor& control, const PoolState& state, const WaitingClients& clients)
        : state_(state), clients_(clients), call_(control, QueuePlace::pause)
    {
    }

    /// Some client wants to know.
    void enable() noexcept { enabled_ = true; }

    /// Tells them some time after the queue may have changed, or at once if that has not been for a while. `pool` owns
    /// the teller.
    void tell_later(std::weak_ptr<const void> pool);

private:
    void tell();

    const PoolState& state_;
    const WaitingClients& clients_;
    PacedCall call_;
    bool enabled_ = false;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/pool/queue_teller.hpp>
#endif
