// SPDX-License-Identifier: MIT
#pragma once

#include <cerrno>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/bridge/stream_bridge.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/system/last_error.hpp>

namespace instancer::detail {

INSTANCER_DECL StreamBridge::StreamBridge(Link& link, SessionHook* hook)
    : link_(link),
      hook_(hook),
      shared_(std::make_shared<Shared>(link.client().get_executor())),
      up_(Way::up, link.client(), link.instance(), &Link::count_up, &SessionHook::from_client,
          &SessionHook::client_ended),
      down_(Way::down, link.instance(), link.client(), &Link::count_down, &SessionHook::from_instance,
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
    if (!is_cancelled(cancellation)) {
        link_.take(std::make_unique<LinkListener>(link_, shared_));
        co_await (pump(up_) && pump(down_) && drain());
    }
    finish(BridgeEnd::cancelled);
    co_return *shared_->state.end();
}

INSTANCER_DECL void StreamBridge::LinkListener::link_over()
{
    const auto& instance = link_.instance();
    shared_->state.instance_ended(has_mark(instance) && is_reset(instance.native_handle()));
    conclude(link_, *shared_);
}

INSTANCER_DECL void StreamBridge::conclude(Link& link, Shared& shared)
{
    if (!shared.state.end() || shared.ended.is_set())
        return;
    shared.ended.set();
    shared.look.cancel();
    end_streams(link, *shared.state.end());
}

INSTANCER_DECL bool StreamBridge::report(Direction& way, Event event)
{
    const auto step = shared_->state.on(way.way, event);
    shared_->look.cancel();
    conclude(link_, *shared_);
    return step.pass_end;
}

INSTANCER_DECL void StreamBridge::report_unwritten(Direction& way, const Error& error)
{
    if (error == std::error_code(asio::error::operation_aborted))
        return finish(BridgeEnd::cancelled);
    // The system says it only once; reading meets an end of the stream then.
    auto& back = other_of(way);
    back.reset = back.reset || error == std::error_code(asio::error::connection_reset);
    report(way, Event::refused);
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::pump(Direction& way)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    // A wait that has come to its end already does not notice that it is cancelled.
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    while (reads(way)) {
        const bool looks = carries_urgent_ && way.source.unread_size() == 0;
        const auto ahead = looks ? look_ahead(way.source.native_handle()) : Ahead::plain;
        if (ahead == Ahead::urgent) {
            co_await pass_urgent(way);
            continue;
        }
        if (ahead == Ahead::plain)
            co_await pass_some(way);
        if (!reads(way))
            break;
        const auto ready = co_await way.source.wait(Readiness::readable);
        if (!ready || is_cancelled(cancellation))
            finish(BridgeEnd::cancelled);
    }
    way.over.set();
    co_await watch_ended(way);
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::pass_some(Direction& way)
{
    const auto own = hook_ ? std::make_unique_for_overwrite<std::byte[]>(hooked_read) : nullptr;
    const auto buffer = own ? std::span(own.get(), hooked_read) : bridge_buffer();
    const auto read = way.source.try_read(buffer);
    if (!read) {
        if (read.error() != std::error_code(asio::error::would_block))
            report(way, Event::failed);
        co_return;
    }
    const bool ended = *read == 0;
    if (ended && link_.state().stopped())
        co_return finish(BridgeEnd::cancelled);
    if (ended && way.reset) {
        report(way, Event::failed);
        co_return;
    }
    HookAnswer answer;
    if (hook_)
        answer = co_await show(way, buffer.first(*read));
    if (!reads(way))
        co_return;
    const std::span<const std::byte> data = hook_ ? answer.bytes() : buffer.first(*read);
    const bool written = co_await write(way, data);
    if (!written)
        co_return;
    if (answer.then() == HookAnswer::Then::end) {
        lingering_close(way.target);
        lingering_close(way.source);
        finish(BridgeEnd::ended_by_hook);
    } else if (ended && report(way, Event::ended)) {
        co_await pass_end(way);
    }
}

INSTANCER_DECL asio::awaitable<bool> StreamBridge::write(Direction& way, std::span<const std::byte> data)
{
    if (data.empty())
        co_return true;
    const auto written = way.target.try_write(data);
    if (!written && written.error() != std::error_code(asio::error::would_block)) {
        report_unwritten(way, written.error());
        co_return false;
    }
    (link_.*way.count)(written.value_or(0));
    data = data.subspan(written.value_or(0));
    if (data.empty())
        co_return true;
    // The buffer is the thread's, but for what a hook was shown.
    std::vector<std::byte> parked;
    if (!hook_) {
        parked.assign(data.begin(), data.end());
        data = parked;
    }
    co_return co_await write_parked(way, data);
}

INSTANCER_DECL asio::awaitable<bool> StreamBridge::write_parked(Direction& way, std::span<const std::byte> data)
{
    while (!data.empty()) {
        const auto ready = co_await wait_writable(way);
        if (!ready) {
            report_unwritten(way, ready.error());
            co_return false;
        }
        const auto written = way.target.try_write(data);
        if (written) {
            (link_.*way.count)(*written);
            data = data.subspan(*written);
        } else if (written.error() != std::error_code(asio::error::would_block)) {
            report_unwritten(way, written.error());
            co_return false;
        }
    }
    co_return true;
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::pass_urgent(Direction& way)
{
    std::byte byte{};
    const auto taken = way.source.try_read(std::span(&byte, 1));
    if (!taken) {
        report(way, Event::failed);
        co_return;
    }
    const auto sent = co_await write_urgent(way.target, byte);
    if (!sent)
        report_unwritten(way, sent.error());
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::pass_end(Direction& way)
{
    for (;;) {
        const auto ended = way.target.shutdown_send();
        if (ended)
            break;
        if (ended.error() != std::error_code(asio::error::would_block))
            co_return report_unwritten(way, ended.error());
        const auto ready = co_await wait_writable(way);
        if (!ready)
            co_return report_unwritten(way, ready.error());
    }
    note_passed(link_, way.way);
    report(way, Event::passed);
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::watch_ended(Direction& way)
{
    auto& back = other_of(way);
    const bool tells_when_gone = way.source.is_tcp() || way.source.lender() != nullptr;
    if (shared_->state.half(way.way) != BridgeState::Half::ended || !tells_when_gone || back.over.is_set())
        co_return;
    const bool gone = co_await is_gone(way.source, back.over);
    if (gone)
        report(way, Event::lost);
}

INSTANCER_DECL asio::awaitable<Result<void>> StreamBridge::wait_writable(Direction& way)
{
    using namespace asio::experimental::awaitable_operators;
    auto& back = other_of(way);
    if (!way.source.is_tcp() || back.over.is_set() || shared_->state.lost())
        co_return co_await way.target.wait(Readiness::writable);
    auto first = co_await (way.target.wait(Readiness::writable) || is_gone(way.source, back.over));
    if (first.index() == 0)
        co_return std::move(std::get<0>(first));
    if (std::get<1>(first))
        report(way, Event::lost);
    co_return Result<void>();
}

INSTANCER_DECL asio::awaitable<bool> StreamBridge::is_gone(Stream& stream, AsyncEvent& back)
{
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (stream.wait(Readiness::gone) || back.wait());
    if (back.is_set() || first.index() == 1)
        co_return false;
    co_return std::get<0>(first).has_value();
}

INSTANCER_DECL asio::awaitable<void> StreamBridge::drain()
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    StallDetector stall_detector;
    while (!shared_->state.end()) {
        if (shared_->state.lost() && is_drained(stall_detector)) {
            shared_->state.drained();
            co_return conclude(link_, *shared_);
        }
        co_await shared_->look.async_wait(as_result);
        if (is_cancelled(cancellation))
            finish(BridgeEnd::cancelled);
    }
}

INSTANCER_DECL bool StreamBridge::is_drained(StallDetector& stall_detector)
{
    const auto& lost = shared_->state.lost() == Way::up ? up_ : down_;
    const auto left = lost.target.unsent();
    shared_->look.expires_after(StallDetector::pause);
    return (!reads(lost) && left == 0) || stall_detector.ends_at(link_.bytes_up() + link_.bytes_down() - left);
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

INSTANCER_DECL asio::awaitable<HookAnswer> StreamBridge::show(const Direction& way, std::span<std::byte> data)
{
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    auto answer = co_await ask(way, data);
    if (failure_)
        finish(BridgeEnd::hook_failed);
    else if (answer.then() == HookAnswer::Then::reset)
        finish(BridgeEnd::ended_by_hook);
    else if (is_cancelled(cancellation))
        finish(BridgeEnd::cancelled);
    co_return answer;
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
    auto first = co_await (guarded(std::move(later)) || shared_->ended.wait());
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
