// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/detail/async/async_signal.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

/// Doubles of a client and of a backend, for the tests of programs that use the library.
namespace instancer::test {

/// For tests: the far end of a Stream that exists in memory only. What is sent here comes out of the stream, what is
/// written to the stream arrives here, and nothing happens unless the test makes it happen.
///
///     FakePeer peer(executor);
///     Stream stream = peer.take_stream();
///     peer.send("hello");  // one segment: one read never returns bytes of two
///
/// Copies name the same peer.
/// Lifetime: independent of the stream.
/// Threads: the executor of the stream.
class FakePeer {
public:
    /// The stream belongs to `executor`.
    explicit FakePeer(const asio::any_io_executor& executor) : wire_(std::make_shared<Wire>(executor)) {}

    /// The stream itself. Call it once.
    Stream take_stream() { return Stream(std::make_unique<Impl>(wire_)); }

    // What the far end does.

    /// Sends `bytes` as one segment.
    void send(std::string_view bytes)
    {
        if (!bytes.empty())
            wire_->segments.emplace_back(bytes);
        wire_->readable.notify();
    }

    /// Half-close: the stream reads its end after what was sent before.
    void shutdown_send()
    {
        wire_->no_more = true;
        wire_->readable.notify();
    }

    /// Closes in order: as `shutdown_send`, and whatever is written from now on fails.
    void close()
    {
        wire_->deaf = true;
        shutdown_send();
        wire_->notify_stream();
    }

    /// Resets: what was not read is lost, and reading and writing fail.
    void reset()
    {
        wire_->segments.clear();
        wire_->reset = true;
        wire_->notify_stream();
    }

    /// How many bytes more the stream takes before writing to it would block. Without this call: any number.
    void set_room(std::size_t bytes)
    {
        wire_->room = bytes;
        wire_->writable.notify();
    }

    // What the far end has seen.

    /// Everything that was written to the stream.
    const std::string& received() const noexcept { return wire_->received; }

    /// The stream ended its sending in order.
    bool end_received() const noexcept { return wire_->shut || wire_->closed; }

    /// The stream was aborted.
    bool reset_received() const noexcept { return wire_->aborted; }

    /// The stream is no more: closed, aborted or destroyed.
    bool gone() const noexcept { return wire_->is_over(); }

    /// Bytes that were sent and that nobody has read yet.
    std::size_t unread() const noexcept
    {
        std::size_t count = 0;
        for (const auto& segment : wire_->segments)
            count += segment.size();
        return count;
    }

    /// Completes when something of the above has changed.
    ///
    /// Concurrency: one call at a time.
    /// Cancellation: any type.
    asio::awaitable<void> changed() { return changed(wire_); }

private:
    /// What both ends share.
    struct Wire {
        explicit Wire(const asio::any_io_executor& on)
            : executor(on), readable(on), writable(on), vanished(on), change(on)
        {
        }

        bool is_over() const noexcept { return closed || aborted; }

        bool is_ready(Readiness what) const noexcept
        {
            switch (what) {
            case Readiness::readable: return reset || no_more || !segments.empty();
            case Readiness::writable: return reset || deaf || room != 0;
            case Readiness::gone: return reset || (no_more && deaf);
            }
            return true;
        }

        void notify_stream()
        {
            readable.notify();
            writable.notify();
            vanished.notify();
        }

        asio::any_io_executor executor;
        detail::AsyncSignal readable, writable, vanished, change;
        std::deque<std::string> segments;
        std::string received;
        std::size_t room = std::numeric_limits<std::size_t>::max();
        bool no_more = false, deaf = false, reset = false;   // the far end
        bool shut = false, closed = false, aborted = false;  // the stream
    };
    using WirePtr = std::shared_ptr<Wire>;

    class Impl final : public Stream::Impl {
    public:
        explicit Impl(WirePtr wire) : wire_(std::move(wire)) {}
        ~Impl() override { Impl::close(); }

        asio::any_io_executor get_executor() override { return wire_->executor; }

        Result<std::size_t> try_read(std::span<std::byte> buffer) override
        {
            if (wire_->is_over())
                return instancer::fail(std::error_code(asio::error::bad_descriptor));
            if (wire_->reset)
                return instancer::fail(std::error_code(asio::error::connection_reset));
            if (wire_->segments.empty()) {
                if (wire_->no_more)
                    return 0;
                return instancer::fail(std::error_code(asio::error::would_block));
            }
            auto& segment = wire_->segments.front();
            const auto count = std::min(buffer.size(), segment.size());
            std::memcpy(buffer.data(), segment.data(), count);
            segment.erase(0, count);
            if (segment.empty())
                wire_->segments.pop_front();
            wire_->change.notify();
            return count;
        }

        Result<std::size_t> try_write(std::span<const std::byte> data) override
        {
            if (wire_->is_over())
                return instancer::fail(std::error_code(asio::error::bad_descriptor));
            if (wire_->reset)
                return instancer::fail(std::error_code(asio::error::connection_reset));
            if (wire_->deaf || wire_->shut)
                return instancer::fail(std::error_code(asio::error::broken_pipe));
            const auto count = std::min(data.size(), wire_->room);
            if (count == 0 && !data.empty())
                return instancer::fail(std::error_code(asio::error::would_block));
            wire_->received.append(reinterpret_cast<const char*>(data.data()), count);
            if (wire_->room != std::numeric_limits<std::size_t>::max())
                wire_->room -= count;
            wire_->change.notify();
            return count;
        }

        asio::awaitable<Result<void>> wait(Readiness what) override
        {
            const auto wire = wire_;
            auto& signal = what == Readiness::readable   ? wire->readable
                           : what == Readiness::writable ? wire->writable
                                                         : wire->vanished;
            bool cancelled = false;
            while (!cancelled && !wire->is_over() && !wire->is_ready(what))
                cancelled = !co_await signal.wait();
            if (cancelled || wire->is_over())
                co_return instancer::fail(std::error_code(asio::error::operation_aborted));
            co_return Result<void>();
        }

        Result<void> shutdown_send() override
        {
            if (wire_->is_over() || wire_->reset)
                return instancer::fail(std::error_code(asio::error::not_connected));
            wire_->shut = true;
            wire_->change.notify();
            return {};
        }

        void abort() noexcept override { end(wire_->aborted); }
        void close() noexcept override { end(wire_->closed); }

        Result<void> rebind(const asio::any_io_executor& executor) override
        {
            wire_->executor = executor;
            for (auto* signal : {&wire_->readable, &wire_->writable, &wire_->vanished})
                signal->rebind(executor);
            return {};
        }

    private:
        void end(bool& how) noexcept
        {
            if (wire_->is_over())
                return;
            how = true;
            wire_->notify_stream();
            wire_->change.notify();
        }

        WirePtr wire_;
    };

    static asio::awaitable<void> changed(WirePtr wire) { co_await wire->change.wait(); }

    WirePtr wire_;
};

}  // namespace instancer::test
