// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <asio/steady_timer.hpp>
#include <sys/socket.h>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/bridge.hpp>
#include <instancer/bridge/hooks.hpp>
#include <instancer/detail/bridge/bridge_state.hpp>
#include <instancer/detail/bridge/socket_bridge.hpp>
#include <instancer/detail/bridge/stall_detector.hpp>
#include <instancer/detail/socket/socket_stream.hpp>
#include <instancer/detail/socket/urgent_data.hpp>
#include <instancer/lingering_close.hpp>

namespace instancer::detail {

/// The data path between streams of any kind, where a hook may look on: a coroutine for each direction. Without a hook
/// reads go into one buffer per thread; what a hook is shown has a buffer of its own until it is passed on.
///
/// Threads: the executor of the link.
class StreamBridge final {
public:
    /// Lifetime: link and hook must outlive the bridge.
    explicit StreamBridge(Link& link, SessionHook* hook = nullptr);
    StreamBridge(const StreamBridge&) = delete;
    StreamBridge& operator=(const StreamBridge&) = delete;

    asio::awaitable<BridgeEnd> run();

    /// What the hook threw, after BridgeEnd::hook_failed.
    const std::exception_ptr& failure() const noexcept { return failure_; }

private:
    using Way = BridgeState::Way;
    using Event = BridgeState::Event;

    static constexpr std::size_t hooked_read = 64'000;

    /// What is decided, for whoever hears of the link from outside too: that can be when the bridge is gone.
    struct Shared {
        explicit Shared(const asio::any_io_executor& executor)
            : ended(executor), look(executor, asio::steady_timer::time_point::max())
        {
        }

        BridgeState state;
        AsyncEvent ended;         ///< A hook that still works is waited for no longer then.
        asio::steady_timer look;  ///< Cancelled when something was decided.
    };

    /// Hears of what the link is told from outside.
    class LinkListener final : public Link::Path {
    public:
        LinkListener(Link& link, std::shared_ptr<Shared> shared) : link_(link), shared_(std::move(shared)) {}

        void link_over() override;

        /// Whoever runs the coroutine cancels it.
        void cancel() override {}

    private:
        Link& link_;
        std::shared_ptr<Shared> shared_;
    };

    class Direction {
    public:
        Direction(Way half, Stream& from, Stream& to, void (Link::*counter)(std::uint64_t) noexcept,
                  HookAnswer (SessionHook::*shown)(std::span<char>), HookAnswer (SessionHook::*told)())
            : way(half),
              source(from),
              target(to),
              count(counter),
              on_data(shown),
              on_end(told),
              over(from.get_executor())
        {
        }

        const Way way;
        Stream& source;
        Stream& target;
        void (Link::*count)(std::uint64_t) noexcept;
        HookAnswer (SessionHook::*on_data)(std::span<char>);
        HookAnswer (SessionHook::*on_end)();
        AsyncEvent over;     ///< Nothing more goes this way.
        bool reset = false;  ///< The source was reset, as a write to it has shown.
    };

    static bool has_mark(const Stream& stream) noexcept { return stream.is_tcp() && stream.native_handle() >= 0; }

    /// Moves the bytes of one direction, until nothing more goes that way.
    asio::awaitable<void> pump(Direction& way);

    /// One read, and what follows from it.
    asio::awaitable<void> pass_some(Direction& way);

    /// Whether all of `data` was written. A source that is not read meanwhile is watched; when it is reset the target
    /// still gets what it takes.
    asio::awaitable<bool> write(Direction& way, std::span<const std::byte> data);

    asio::awaitable<bool> write_parked(Direction& way, std::span<const std::byte> data);

    asio::awaitable<void> pass_urgent(Direction& way);

    /// Passes on the end of the source. A terminal that is full has no room for it yet.
    asio::awaitable<void> pass_end(Direction& way);

    /// After its end of stream, or while it is not read, only its own wait tells that the source was reset.
    asio::awaitable<void> watch_ended(Direction& way);

    /// Until the target takes more, or the source is reset.
    asio::awaitable<Result<void>> wait_writable(Direction& way);

    /// Waits until the stream is gone, or `back` is set, after which it may be gone in order.
    static asio::awaitable<bool> is_gone(Stream& stream, AsyncEvent& back);

    /// What was sent before a reset still arrives, as long as the receiver takes it.
    asio::awaitable<void> drain();

    /// Whether the other end has got everything from a source that was reset, or has stopped taking.
    bool is_drained(StallDetector& stall_detector);

    bool reads(const Direction& way) const noexcept { return shared_->state.reads(way.way); }

    Direction& other_of(const Direction& way) noexcept { return &way == &up_ ? down_ : up_; }

    /// Tells the state what has happened. Whether the end of the source is to be passed on.
    bool report(Direction& way, Event event);

    void report_unwritten(Direction& way, const Error& error);

    void finish(BridgeEnd end)
    {
        shared_->state.finish(end);
        conclude(link_, *shared_);
    }

    /// Lets go of everything once the bridge has ended.
    static void conclude(Link& link, Shared& shared);

    static asio::awaitable<Result<void>> write_urgent(Stream& target, std::byte byte);

    /// The answer of the hook, which may have ended the bridge.
    asio::awaitable<HookAnswer> show(const Direction& way, std::span<std::byte> data);

    asio::awaitable<HookAnswer> ask(const Direction& way, std::span<std::byte> data);

    /// Gives up when the session ends.
    asio::awaitable<HookAnswer> wait_for(asio::awaitable<HookAnswer> later);

    /// Keeps an exception for later: the end of the session would be waited for otherwise.
    asio::awaitable<HookAnswer> guarded(asio::awaitable<HookAnswer> later);

    Link& link_;
    SessionHook* hook_;
    std::shared_ptr<Shared> shared_;
    Direction up_, down_;
    const bool carries_urgent_;
    std::exception_ptr failure_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/bridge/stream_bridge.hpp>
#endif
