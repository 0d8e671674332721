// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/async/async_event.hpp>
#include <instancer/session.hpp>
#include <instancer/stream.hpp>
#include <instancer/usage.hpp>

namespace instancer {

/// The state of both ends of a session, by which its limits are watched, and whether it is being stopped.
///
/// Threads: any.
class LinkState {
public:
    /// The clock of all limits.
    using Clock = std::chrono::steady_clock;

    /// Set before the instance is stopped from outside: the end of its stream, if it comes now, is not its own doing,
    /// and its client must not take it for an end in order.
    void stop() noexcept { stopped_ = true; }
    /// Whether it is being stopped.
    bool stopped() const noexcept { return stopped_; }

    /// A byte passed at `now`.
    void touch(Clock::time_point now) noexcept { store(active_, now); }
    /// One direction ended at `now`.
    void half_close(Clock::time_point now) noexcept { store(half_closed_, now); }
    /// The instance ended at `now`; what it wrote before may still be on its way.
    void instance_ended(Clock::time_point now) noexcept { store(instance_ended_, now); }

    /// When the last byte passed; at first, when the link was made, and before that the epoch of the clock.
    Clock::time_point last_active() const noexcept { return load(active_); }

    /// Since when only one direction is left; the epoch of the clock while there are two.
    Clock::time_point half_closed() const noexcept { return load(half_closed_); }

    /// Since when there is no instance any more; the epoch of the clock while there is one.
    Clock::time_point instance_ended() const noexcept { return load(instance_ended_); }

private:
    using Stamp = std::atomic<Clock::rep>;

    static void store(Stamp& stamp, Clock::time_point now) noexcept
    {
        stamp.store(now.time_since_epoch().count(), std::memory_order_relaxed);
    }
    static Clock::time_point load(const Stamp& stamp) noexcept
    {
        return Clock::time_point(Clock::duration(stamp.load(std::memory_order_relaxed)));
    }

    Stamp active_{0};
    Stamp half_closed_{0};
    Stamp instance_ended_{0};
    std::atomic<bool> stopped_{false};
};

/// How a bridge came to its end.
enum class BridgeEnd {
    completed,       ///< Both directions ended in order.
    client_reset,    ///< The client reset its connection.
    instance_reset,  ///< The instance reset its connection.
    ended_by_hook,   ///< A hook ended the session.
    hook_failed,     ///< A hook threw an exception.
    cancelled,       ///< Cancelled from outside.
};

/// Its words, as a log has them.
constexpr std::string_view to_string(BridgeEnd end) noexcept
{
    switch (end) {
    case BridgeEnd::completed: return "completed";
    case BridgeEnd::client_reset: return "client reset";
    case BridgeEnd::instance_reset: return "instance reset";
    case BridgeEnd::ended_by_hook: return "ended by hook";
    case BridgeEnd::hook_failed: return "hook failed";
    case BridgeEnd::cancelled: return "cancelled";
    }
    return "unknown";
}

/// The two ends that a Bridge joins, what has passed, and what the bridge must hear from outside.
///
/// Threads: the executor of both streams.
class Link {
public:
    /// A way of moving bytes that needs no coroutine. It belongs to its link.
    class Path {
    public:
        Path() = default;
        Path(const Path&) = delete;
        Path& operator=(const Path&) = delete;
        virtual ~Path() = default;

        /// The instance has ended, and everything that it said is delivered: the client is to be closed.
        virtual void link_over() = 0;

        /// Both ends are to be aborted.
        virtual void cancel() = 0;
    };

    /// Lifetime: `usage` and `state` must outlive the link.
    Link(Stream client, Stream instance, Usage& usage, LinkState& state)
        : client_(std::move(client)), instance_(std::move(instance)), usage_(&usage), state_(&state)
    {
        state.touch(LinkState::Clock::now());
    }

    /// Sets the owner of the session.
    ///
    /// Lifetime: `session` must outlive the link.
    void introduce(const SessionInfo& session) noexcept { session_ = &session; }

    /// The owner of the session; empty when none was set.
    const SessionInfo& session() const noexcept
    {
        static const SessionInfo unknown;
        return session_ ? *session_ : unknown;
    }

    /// The client's end.
    Stream& client() noexcept { return client_; }
    /// The instance's end.
    Stream& instance() noexcept { return instance_; }
    /// The same, to look at.
    const Stream& instance() const noexcept { return instance_; }

    /// Bytes that went from client to instance.
    std::uint64_t bytes_up() const noexcept { return up_; }
    /// Bytes that went from instance to client.
    std::uint64_t bytes_down() const noexcept { return down_; }

    /// When the first byte of the instance passed; the epoch of the clock before that.
    LinkState::Clock::time_point first_down() const noexcept { return first_down_; }

    /// For the bridge: bytes went from client to instance.
    void count_up(std::uint64_t bytes) noexcept
    {
        const auto now = LinkState::Clock::now();
        up_ += bytes;
        usage_->up(bytes, now);
        state_->touch(now);
    }

    /// For the bridge: bytes went from instance to client.
    void count_down(std::uint64_t bytes) noexcept
    {
        const auto now = LinkState::Clock::now();
        if (down_ == 0)
            first_down_ = now;
        down_ += bytes;
        usage_->down(bytes, now);
        state_->touch(now);
    }

    /// What others see of the session.
    LinkState& state() noexcept { return *state_; }

    /// For the bridge: moves the bytes from now on, without a coroutine.
    void take(std::unique_ptr<Path> path) noexcept { path_ = std::move(path); }

    /// For the bridge: the client has been given the last byte of the instance and the end after it.
    void delivered()
    {
        delivered_ = true;
        close_if_over();
    }

    /// The instance has ended. Once everything that it said is delivered, the client is closed as the system would
    /// close it if the client were connected directly: bytes that it sends from then on are answered by a reset.
    /// The link may be gone when this returns.
    void instance_ended()
    {
        ended_ = true;
        state_->instance_ended(LinkState::Clock::now());
        close_if_over();
    }

    /// Ends a bridge that `Bridge::start` began. The link may be gone when this returns.
    void cancel()
    {
        if (path_)
            path_->cancel();
    }

    /// The instance has ended and everything that it said is delivered.
    bool over() const noexcept { return delivered_ && ended_; }

private:
    void close_if_over()
    {
        if (over() && path_)
            path_->link_over();
        else if (over())
            client_.close();
    }

    Stream client_;
    Stream instance_;
    Usage* usage_;
    LinkState* state_;
    const SessionInfo* session_ = nullptr;
    std::uint64_t up_ = 0;
    std::uint64_t down_ = 0;
    LinkState::Clock::time_point first_down_;
    bool delivered_ = false;
    bool ended_ = false;
    std::unique_ptr<Path> path_;  ///< Goes before the streams that it uses.
};

/// Learns that a bridge has come to its end.
class BridgeObserver {
public:
    /// Called once, at the very end: the link may be destroyed here.
    virtual void bridge_ended(BridgeEnd end) = 0;

protected:
    ~BridgeObserver() = default;
};

/// Moves the bytes of one session, both ways, until both directions have ended.
///
/// To add a way, derive and implement `do_run`.
///
/// Threads: the executor of the streams.
class Bridge {
public:
    Bridge() = default;
    Bridge(const Bridge&) = delete;
    Bridge& operator=(const Bridge&) = delete;
    virtual ~Bridge() = default;

    /// Begins to join the two ends, if this bridge can do that with these streams without a coroutine. Then `observer`
    /// is told when both are closed or aborted; else nothing has happened, and `run` is the way.
    ///
    /// Cancellation: `Link::cancel`.
    /// Lifetime: `link` and `observer` must stay until then.
    bool start(Link& link, BridgeObserver& observer) { return do_start(link, observer); }

    /// Joins the two ends of `link`. Both are closed or aborted when it completes.
    ///
    /// Concurrency: any number of calls, each with its own link.
    /// Cancellation: terminal; both ends are aborted.
    /// Lifetime: `link` must stay until completion.
    asio::awaitable<BridgeEnd> run(Link& link)
    {
        Waiting waiting(link.client().get_executor());
        if (!do_start(link, waiting))
            co_return co_await do_run(link);
        co_await waiting.ended.wait();
        if (!waiting.ended.is_set())
            link.cancel();
        co_return waiting.end;
    }

private:
    struct Waiting final : BridgeObserver {
        explicit Waiting(const asio::any_io_executor& executor) : ended(executor) {}

        void bridge_ended(BridgeEnd how) override
        {
            end = how;
            ended.set();
        }

        AsyncEvent ended;
        BridgeEnd end = BridgeEnd::cancelled;
    };

    virtual bool do_start(Link&, BridgeObserver&) { return false; }
    virtual asio::awaitable<BridgeEnd> do_run(Link& link) = 0;
};

}  // namespace instancer
