// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <system_error>
#include <tuple>
#include <vector>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>

#include <instancer/bridge.hpp>
#include <instancer/detail/asio_compat.hpp>
#include <instancer/detail/socket_bridge.hpp>

namespace instancer {

/// Copies bytes between two streams of any kind; two sockets take a path without coroutines.
///
/// Reads go into one buffer per thread, and only what the other end does not take at once is kept aside: a session
/// with nothing in flight holds no buffer, and a peer that does not read holds at most one buffer's worth here.
class PairBridge final : public Bridge {
private:
    enum class PumpEnd { end_of_stream, source_reset, target_reset, cancelled };

    bool do_start(Link& link, BridgeObserver& observer) override
    {
        return link.client().native_handle() >= 0 && link.instance().native_handle() >= 0 &&
               detail::SocketBridge::start(link, observer).has_value();
    }

    asio::awaitable<BridgeEnd> do_run(Link& link) override
    {
        using namespace asio::experimental::awaitable_operators;
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        if (detail::is_cancelled(cancellation)) {
            abort(link);
            co_return BridgeEnd::cancelled;
        }
        const auto [up, down] = co_await (pump_up(link) && pump_down(link));

        if (up == PumpEnd::source_reset || down == PumpEnd::target_reset) {
            abort(link);
            co_return BridgeEnd::client_reset;
        }
        if (up == PumpEnd::target_reset || down == PumpEnd::source_reset) {
            abort(link);
            co_return BridgeEnd::instance_reset;
        }
        if (down == PumpEnd::cancelled || (up == PumpEnd::cancelled && !link.over())) {
            abort(link);
            co_return BridgeEnd::cancelled;
        }
        link.client().close();
        // Whom nobody listens to any more on the other side is let go at once: its port must not stay taken.
        if (link.over())
            link.instance().abort();
        else
            link.instance().close();
        co_return BridgeEnd::completed;
    }

    static void abort(Link& link) noexcept
    {
        link.client().abort();
        link.instance().abort();
    }

    /// Client to instance. When the instance takes no more, its own answer is still delivered.
    static asio::awaitable<PumpEnd> pump_up(Link& link)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto end = co_await pump(link, link.client(), link.instance(), &Link::count_up);
        if (end == PumpEnd::source_reset)
            link.instance().abort();
        co_return end;
    }

    /// Instance to client.
    static asio::awaitable<PumpEnd> pump_down(Link& link)
    {
        co_await asio::this_coro::throw_if_cancelled(false);
        const auto end = co_await pump(link, link.instance(), link.client(), &Link::count_down);
        if (end == PumpEnd::end_of_stream)
            link.delivered();
        else if (end != PumpEnd::cancelled)
            abort(link);
        co_return end;
    }

    static asio::awaitable<PumpEnd> pump(Link& link, Stream& source, Stream& target,
                                         void (Link::*count)(std::uint64_t) noexcept)
    {
        // A wait that has come to its end already does not notice that it is cancelled.
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        for (;;) {
            const auto read = source.try_read(detail::bridge_buffer());
            if (!read) {
                if (read.error() != std::error_code(asio::error::would_block))
                    co_return PumpEnd::source_reset;
            } else if (*read == 0 && link.state().stopped()) {
                co_return PumpEnd::cancelled;
            } else if (*read == 0) {
                link.state().half_close(LinkState::Clock::now());
                co_return target.shutdown_send() ? PumpEnd::end_of_stream : PumpEnd::target_reset;
            } else {
                auto data = detail::bridge_buffer().first(*read);
                const auto written = target.try_write(data);
                if (!written && written.error() != std::error_code(asio::error::would_block))
                    co_return PumpEnd::target_reset;
                data = data.subspan(written.value_or(0));
                if (!data.empty()) {
                    const std::vector<std::byte> parked(data.begin(), data.end());
                    const auto sent = co_await target.write_all(parked);
                    if (!sent)
                        co_return sent.error() == std::error_code(asio::error::operation_aborted)
                            ? PumpEnd::cancelled
                            : PumpEnd::target_reset;
                }
                (link.*count)(*read);
            }
            const auto ready = co_await source.wait(Readiness::readable);
            if (!ready || detail::is_cancelled(cancellation))
                co_return PumpEnd::cancelled;
        }
    }
};

}  // namespace instancer
