// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include <sys/socket.h>

#include <instancer/async/as_result.hpp>
#include <instancer/async/async_event.hpp>
#include <instancer/bridge.hpp>
#include <instancer/bridge/hooks.hpp>
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
    enum class PumpEnd { end_of_stream, source_reset, target_reset, hook, cancelled };

    static constexpr std::size_t hooked_read = 64'000;

    /// Of the whole link. A hook that still works is waited for no longer then.
    struct End {
        explicit End(const asio::any_io_executor& executor) : came(executor) {}

        AsyncEvent came;
        bool reset = false;  ///< The instance had reset its connection when it ended.
    };

    /// Hears of what the link is told from outside.
    class LinkListener final : public Link::Path {
    public:
        LinkListener(Link& link, std::shared_ptr<End> end) : link_(link), end_(std::move(end)) {}

        void link_over() override;

        /// Whoever runs the coroutine cancels it.
        void cancel() override {}

    private:
        Link& link_;
        std::shared_ptr<End> end_;
    };

    class Direction {
    public:
        Direction(Stream& from, Stream& to, void (Link::*counter)(std::uint64_t) noexcept,
                  HookAnswer (SessionHook::*shown)(std::span<char>), HookAnswer (SessionHook::*told)())
            : source(from), target(to), count(counter), on_data(shown), on_end(told), over(from.get_executor())
        {
        }

        Stream& source;
        Stream& target;
        void (Link::*count)(std::uint64_t) noexcept;
        HookAnswer (SessionHook::*on_data)(std::span<char>);
        HookAnswer (SessionHook::*on_end)();
        AsyncEvent over;     ///< Nothing more goes this way.
        bool reset = false;  ///< The source was reset, as a write to it has shown.
    };

    static bool has_mark(const Stream& stream) noexcept { return stream.is_tcp() && stream.native_handle() >= 0; }

    /// Client to instance. When the instance takes no more, its own answer is still delivered.
    asio::awaitable<PumpEnd> pump_up();

    /// Instance to client.
    asio::awaitable<PumpEnd> pump_down();

    /// After its end of stream, or while it is not read, only its own wait tells that the source was reset.
    asio::awaitable<PumpEnd> pump_and_watch(Direction& way, Direction& back);

    /// Waits until the stream is gone, or `back` is set, after which it may be gone in order.
    static asio::awaitable<bool> is_gone(Stream& stream, AsyncEvent& back);

    /// What was sent before a reset still arrives, as long as the receiver takes it.
    static asio::awaitable<void> deliver(Stream& target);

    asio::awaitable<PumpEnd> pump(Direction& way, Direction& back);

    Result<std::size_t> read_next(const Direction& way, std::span<std::byte> buffer);

    /// Nothing when all was written. A source that is not read meanwhile is watched; when it is reset the target still
    /// gets what it takes.
    asio::awaitable<std::optional<PumpEnd>> write_parked(Direction& way, Direction& back,
                                                         std::span<const std::byte> data);

    /// Passes on the end of the source. A terminal that is full has no room for it yet.
    asio::awaitable<PumpEnd> end_target(Direction& way, Direction& back);

    /// Until the target takes more, or the source is reset.
    static asio::awaitable<Result<void>> wait_writable(Direction& way, Direction& back);

    static PumpEnd not_written(Direction& back, const Error& error);

    static asio::awaitable<Result<void>> write_urgent(Stream& target, std::byte byte);

    asio::awaitable<HookAnswer> ask(const Direction& way, std::span<std::byte> data);

    /// Gives up when the session ends.
    asio::awaitable<HookAnswer> wait_for(asio::awaitable<HookAnswer> later);

    /// Keeps an exception for later: the end of the session would be waited for otherwise.
    asio::awaitable<HookAnswer> guarded(asio::awaitable<HookAnswer> later);

    void abort()
    {
        link_.client().abort();
        link_.instance().abort();
        end_->came.set();
    }

    Link& link_;
    SessionHook* hook_;
    std::string_view early_;  ///< What is left of it.
    std::shared_ptr<End> end_;
    Direction up_, down_;
    const bool carries_urgent_;
    std::exception_ptr failure_;
};

}  // namespace instancer::detail

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/detail/bridge/stream_bridge.hpp>
#endif
