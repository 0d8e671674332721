// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/bridge/stream_bridge.hpp>
#include <instancer/detail/config.hpp>

namespace instancer::detail {

INSTANCER_DECL StreamBridge::StreamBridge(Link& link, SessionHook* hook)
    : link_(link),
      hook_(hook),
      end_(std::make_shared<End>(link.client().get_executor())),
      up_(link.client(), link.instance(), &Link::count_up, &SessionHook::from_client, &SessionHook::client_ended),
      down_(link.instance(), link.client(), &Link::count_down, &SessionHook::from_instance,
            &SessionHook::instance_ended),
      carries_urgent_(hook && has_mark(link.client()) && has_mark(link.instance()))
{
    if (carries_urgent_)
        for (auto* stream : {&link.client(), &link.instance()})
            keep_urgent_inline(stream->native_handle());
}

INSTANCER_DECL asio::awaitable<BridgeEnd> StreamBridge::run()
{
    using namespace asio::experimental::awaitable_operators;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    if (is_cancelled(cancellation)) {
        abort();
        co_return BridgeEnd::cancelled;
    }
    link_.take(std::make_unique<LinkListener>(link_, end_));
    const auto [up, down] = co_await (pump_up() && pump_down());

    if (failure_)
        co_return BridgeEnd::hook_failed;
    if (up == PumpEnd::hook || down == PumpEnd::hook)
        co_return BridgeEnd::ended_by_hook;
    if (up == PumpEnd::source_reset || down == PumpEnd::target_reset) {
        abort();
        co_return BridgeEnd::client_reset;
    }
    if (up == PumpEnd::target_reset || down == PumpEnd::source_reset || end_->reset) {
        co_await deliver(link_.client());
        abort();
        co_return BridgeEnd::instance_reset;
    }
    if (down == PumpEnd::cancelled || (up == PumpEnd::cancelled && !link_.over())) {
        abort();
        co_return BridgeEnd::cancelled;
    }
    link_.client().close();
    // Whom nobody listens to any more on the other side is let go at once: its port must not stay taken.
    if (link_.over())
        link_.instance().abort();
    else
        link_.instance().close();
    co_return BridgeEnd::completed;
}

INSTANCER_DECL void StreamBridge::LinkListener::link_over()
{
    end_->reset = has_mark(link_.instance()) && is_reset(link_.instance().native_handle());
    if (end_->reset)
        link_.client().abort();
    else
        link_.client().close();
    end_->came.set();
}

INSTANCER_DECL asio::awaitable<StreamBridge::PumpEnd> StreamBridge::pump_up()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto end = co_await pump_and_watch(up_, down_);
    if (end == PumpEnd::source_reset) {
        link_.instance().abort();
        end_->came.set();
    }
    co_return end;
}

INSTANCER_DECL asio::awaitable<StreamBridge::PumpEnd> StreamBridge::pump_down()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto end = co_await pump_and_watch(down_, up_);
    if (end == PumpEnd::source_reset || end == PumpEnd::target_reset)
        abort();
    co_return end;
}

INSTANCER_DECL asio::awaitable<StreamBridge::PumpEnd> StreamBridge::pump_and_watch(Direction& way, Direction& back)
{
    auto end = co_await pump(way, back);
    way.over.set();
    if (end == PumpEnd::end_of_stream && &way == &down_)
        link_.delivered();
    if (end == PumpEnd::end_of_stream && way.source.is_tcp() && !back.over.is_set()) {
        const bool gone = co_await is_gone(way.source, back.over);
        if (gone)
            end = PumpEnd::source_reset;
    }
    if (end == PumpEnd::source_reset)
        co_await deliver(way.target);
    co_return end;
}

INSTANCER_DECL asio::awaitable<bool> StreamBridge::is_gone(Stream& stream, AsyncEvent& back)
{
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (stream.wait(Readiness::gone) || back.wait());
    if (back.is_set() || first.index() == 1)
        co_return false;
    co_return std::get<0>(first).has_value();
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::deliver(Stream& target)
{
    asio::steady_timer timer(target.get_executor());
    StallDetector stall_detector;
    for (;;) {
        const auto left = target.unsent();
        if (left == 0 || stall_detector.ends_at(~std::uint64_t{left}))
            co_return;
        timer.expires_after(StallDetector::pause);
        const auto [cancelled] = co_await timer.async_wait(as_result);
        if (cancelled)
            co_return;
    }
}

INSTANCER_DECL asio::awaitable<StreamBridge::PumpEnd> StreamBridge::pump(Direction& way, Direction& back)
{
    // A wait that has come to its end already does not notice that it is cancelled.
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    for (;;) {
        if (carries_urgent_ && way.source.unread_size() == 0) {
            const auto ahead = look_ahead(way.source.native_handle());
            if (ahead == Ahead::nothing) {
                const auto ready = co_await way.source.wait(Readiness::readable);
                if (!ready || is_cancelled(cancellation))
                    co_return PumpEnd::cancelled;
                continue;
            }
            if (ahead == Ahead::urgent) {
                std::byte byte{};
                const auto taken = way.source.try_read(std::span(&byte, 1));
                if (!taken)
                    co_return PumpEnd::source_reset;
                const auto sent = co_await write_urgent(way.target, byte);
                if (!sent)
                    co_return not_written(back, sent.error());
                continue;
            }
        }
        std::unique_ptr<std::byte[]> shown;
        auto buffer = bridge_buffer();
        if (hook_) {
            shown = std::make_unique_for_overwrite<std::byte[]>(hooked_read);
            buffer = std::span(shown.get(), hooked_read);
        }
        const auto read = way.source.try_read(buffer);
        // What the other direction has closed was not reset.
        if (!read && read.error() != std::error_code(asio::error::would_block))
            co_return end_->came.is_set() ? PumpEnd::cancelled : PumpEnd::source_reset;
        if (read) {
            if (*read == 0 && link_.state().stopped())
                co_return PumpEnd::cancelled;
            if (*read == 0 && way.reset)
                co_return PumpEnd::source_reset;
            auto data = std::span<const std::byte>(buffer.first(*read));
            HookAnswer answer;
            if (hook_) {
                answer = co_await ask(way, buffer.first(*read));
                if (failure_ || answer.then() == HookAnswer::Then::reset) {
                    abort();
                    co_return PumpEnd::hook;
                }
                if (end_->came.is_set() || is_cancelled(cancellation))
                    co_return PumpEnd::cancelled;
                data = answer.bytes();
            }
            if (!data.empty()) {
                const auto written = way.target.try_write(data);
                if (!written && written.error() != std::error_code(asio::error::would_block))
                    co_return not_written(back, written.error());
                (link_.*way.count)(written.value_or(0));
                const auto rest = data.subspan(written.value_or(0));
                if (!rest.empty()) {
                    const std::vector<std::byte> parked(rest.begin(), rest.end());
                    shown.reset();
                    const auto failed = co_await write_parked(way, back, parked);
                    if (failed)
                        co_return *failed;
                }
            }
            if (answer.then() == HookAnswer::Then::end) {
                lingering_close(way.target);
                lingering_close(way.source);
                end_->came.set();
                co_return PumpEnd::hook;
            }
            if (*read == 0) {
                link_.state().half_close(LinkState::Clock::now());
                co_return co_await end_target(way, back);
            }
        }
        shown.reset();
        const auto ready = co_await way.source.wait(Readiness::readable);
        if (!ready || is_cancelled(cancellation))
            co_return PumpEnd::cancelled;
    }
}

INSTANCER_DECL asio::awaitable<std::optional<StreamBridge::PumpEnd>>
StreamBridge::write_parked(Direction& way, Direction& back, std::span<const std::byte> data)
{
    asio::steady_timer look(way.target.get_executor());
    StallDetector stall_detector;
    while (!data.empty()) {
        const auto written = way.target.try_write(data);
        if (written) {
            (link_.*way.count)(*written);
            data = data.subspan(*written);
            continue;
        }
        if (written.error() != std::error_code(asio::error::would_block))
            co_return not_written(back, written.error());
        if (way.reset) {
            if (stall_detector.ends_at(~std::uint64_t{data.size()}))
                co_return PumpEnd::source_reset;
            look.expires_after(StallDetector::pause);
            const auto [cancelled] = co_await look.async_wait(as_result);
            if (cancelled)
                co_return PumpEnd::cancelled;
            continue;
        }
        const auto ready = co_await wait_writable(way, back);
        if (!ready)
            co_return not_written(back, ready.error());
    }
    co_return std::nullopt;
}

INSTANCER_DECL asio::awaitable<StreamBridge::PumpEnd> StreamBridge::end_target(Direction& way, Direction& back)
{
    for (;;) {
        const auto ended = way.target.shutdown_send();
        if (ended)
            co_return PumpEnd::end_of_stream;
        if (ended.error() != std::error_code(asio::error::would_block))
            co_return PumpEnd::target_reset;
        const auto ready = co_await wait_writable(way, back);
        if (!ready)
            co_return not_written(back, ready.error());
        if (way.reset)
            co_return PumpEnd::source_reset;
    }
}

INSTANCER_DECL asio::awaitable<Result<void>> StreamBridge::wait_writable(Direction& way, Direction& back)
{
    using namespace asio::experimental::awaitable_operators;
    if (!way.source.is_tcp() || back.over.is_set())
        co_return co_await way.target.wait(Readiness::writable);
    auto first = co_await (way.target.wait(Readiness::writable) || is_gone(way.source, back.over));
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    way.reset = std::get<1>(first);
    co_return Result<void>();
}

INSTANCER_DECL StreamBridge::PumpEnd StreamBridge::not_written(Direction& back, const Error& error)
{
    if (error == std::error_code(asio::error::operation_aborted))
        return PumpEnd::cancelled;
    // The system says it only once; reading meets an end of the stream then.
    back.reset = back.reset || error == std::error_code(asio::error::connection_reset);
    return PumpEnd::target_reset;
}

INSTANCER_DECL asio::awaitable<Result<void>> StreamBridge::write_urgent(Stream& target, std::byte byte)
{
    while (::send(target.native_handle(), &byte, 1, MSG_OOB | MSG_NOSIGNAL) != 1) {
        if (errno != EAGAIN && errno != EINTR)
            co_return fail(last_error());
        auto ready = co_await target.wait(Readiness::writable);
        if (!ready)
            co_return ready;
    }
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<HookAnswer> StreamBridge::ask(const Direction& way, std::span<std::byte> data)
{
    HookAnswer answer;
    try {
        answer = data.empty() ? (hook_->*way.on_end)()
                              : (hook_->*way.on_data)({reinterpret_cast<char*>(data.data()), data.size()});
    } catch (...) {
        failure_ = std::current_exception();
    }
    while (answer.is_later()) {
        const bool is_last = answer.then() == HookAnswer::Then::end;
        answer = co_await wait_for(std::move(answer).later());
        if (is_last)
            answer = HookAnswer::end(std::move(answer));
    }
    co_return answer;
}

INSTANCER_DECL asio::awaitable<HookAnswer> StreamBridge::wait_for(asio::awaitable<HookAnswer> later)
{
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (guarded(std::move(later)) || end_->came.wait());
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    co_return HookAnswer();
}

INSTANCER_DECL asio::awaitable<HookAnswer> StreamBridge::guarded(asio::awaitable<HookAnswer> later)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    try {
        co_return co_await std::move(later);
    } catch (...) {
        if (!is_cancelled(cancellation))
            failure_ = std::current_exception();
    }
    co_return HookAnswer();
}

}  // namespace instancer::detail
