// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <utility>

#include <asio/steady_timer.hpp>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <instancer/bridge.hpp>
#include <instancer/detail/bridge/bridge_state.hpp>
#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/detail/bridge/stall_detector.hpp>
#include <instancer/detail/socket/keepalive.hpp>
#include <instancer/detail/socket/poller.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/lender.hpp>

namespace instancer::detail {

/// The data path between a client's socket and a stream that lends: what comes is offered to the socket before anybody
/// keeps a copy, and the client is read only when the stream has room. There is no coroutine on it and no buffer.
/// Urgent data have no place in such a stream: what is in-band passes, and the rest is dropped.
///
/// Threads: the executor of the link.
class LendingBridge final : public Link::Path, private Poller::Entry, private Lender::Borrower {
public:
    /// Errors: what the system reports; nothing has happened then.
    static Result<void> start(Link& link, BridgeObserver& observer);

    /// For `start`.
    LendingBridge(Link& link, BridgeObserver& observer, Poller& poller);
    ~LendingBridge() override { leave(); }

    void link_over() override
    {
        state_.instance_ended(false);
        conclude_from_outside();
    }
    void cancel() override
    {
        state_.finish(BridgeEnd::cancelled);
        conclude_from_outside();
    }

private:
    using Way = BridgeState::Way;
    using Event = BridgeState::Event;

    /// How often the client may be read before the others have their turn.
    static constexpr int reads_in_turn = 4;

    /// How long a client that was reset is kept while the stream has no room for its last bytes.
    struct ResetDrain {
        explicit ResetDrain(const asio::any_io_executor& executor) : timer(executor) {}

        asio::steady_timer timer;
        StallDetector stall_detector;
    };

    /// The bridge may be gone when this returns.
    void on_events(std::uint32_t events) noexcept override;

    std::size_t offer(std::span<const std::byte> data) noexcept override;

    void changed() noexcept override
    {
        if (!state_.end())
            poller_.again(*this);
    }

    /// Instance to client.
    void deliver();

    /// How much the client's system took. Where that is less than all, it says so when it takes more.
    std::size_t send(std::span<const std::byte> data) noexcept;

    /// Client to instance.
    void collect();

    /// What was given back to the client's stream goes first, at once where the instance takes it. Whether all is gone.
    bool collect_unread();

    void end_of_stream(Way way);

    /// Tells the state what has happened, and does what it says.
    void report(Way way, Event event);

    void pass_end(Way way);

    /// The client was reset. What it had sent before still counts, if there is room for it some time.
    void drain();

    void watch_reset_drain();

    /// Lets go of everything once the bridge has ended.
    void conclude();

    /// For what does not come through `on_events`. The bridge may be gone when this returns.
    void conclude_from_outside()
    {
        if (concluded_)
            return;
        conclude();
        if (concluded_ && !busy_)
            observer_.bridge_ended(*state_.end());
    }

    void leave() noexcept
    {
        if (std::exchange(left_, true))
            return;
        lender_.set_borrower(nullptr);
        poller_.remove(*this);
    }

    Link& link_;
    BridgeObserver& observer_;
    Poller& poller_;
    Lender& lender_;
    const int fd_;
    bool readable_ = false;
    bool writable_ = true;
    bool to_the_end_;  ///< A short read does not mean that nothing more is there.
    bool probed_ = false;
    bool failed_ = false;  ///< The client's connection was reset.
    bool left_ = false;
    bool concluded_ = false;
    bool busy_ = false;  ///< In `on_events`, which reports the end by itself.
    BridgeState state_;
    std::shared_ptr<ResetDrain> reset_drain_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/bridge/lending_bridge.hpp>
#endif
