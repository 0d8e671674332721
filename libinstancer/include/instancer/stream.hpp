// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/error.hpp>

#include <instancer/result.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer {

class Lender;

/// The condition that `Stream::wait` waits for.
enum class Readiness {
    readable,  ///< `try_read` would not block.
    writable,  ///< `try_write` would not block.
    gone,  ///< The peer reset the connection or closed it in both directions; a half-close alone does not count, but
           ///< a TCP peer is probed from then on: one that closed for good is gone after a minute or so.
};

/// Its word, as a log has it.
constexpr std::string_view to_string(Readiness what) noexcept
{
    switch (what) {
    case Readiness::readable: return "readable";
    case Readiness::writable: return "writable";
    case Readiness::gone: return "gone";
    }
    return "unknown";
}

/// A byte stream with half-close and abort over any carrier: a TCP or Unix socket, pipes, a terminal, an
/// attached container. Movable; owns what it names.
///
/// Reading and writing never block: they do what can be done now, and `wait` says when more can be done. So no buffer
/// belongs to a stream that has nothing in flight.
///
/// To carry a stream over something new, derive from `Stream::Impl`.
///
/// An empty Stream has only these: `operator bool`, `native_handle`, `is_tcp`, `peer_name`, `lender`, `unsent`,
/// `unread_size` and `release`. Every other call on it is undefined behaviour.
///
/// Concurrency: one reader, one writer and one waiter for `gone` at a time.
/// Threads: call every member on `get_executor()`.
class Stream {
public:
    /// What carries a stream: each member does what the one of the same name in Stream promises.
    class Impl {
    public:
        virtual ~Impl() = default;
        /// See `Stream::get_executor`.
        virtual asio::any_io_executor get_executor() = 0;
        /// See `Stream::try_read`.
        virtual Result<std::size_t> try_read(std::span<std::byte> buffer) = 0;
        /// Shows what `try_read` would read, and leaves it there.
        ///
        /// Errors: those of `try_read`; Errc::not_supported where only reading tells.
        virtual Result<std::size_t> try_peek(std::span<std::byte>) { return fail(Errc::not_supported); }
        /// See `Stream::try_write`.
        virtual Result<std::size_t> try_write(std::span<const std::byte> data) = 0;
        /// See `Stream::wait`.
        virtual asio::awaitable<Result<void>> wait(Readiness what) = 0;
        /// See `Stream::shutdown_send`.
        virtual Result<void> shutdown_send() = 0;
        /// See `Stream::abort`.
        virtual void abort() noexcept = 0;
        /// See `Stream::close`.
        virtual void close() noexcept = 0;
        /// See `Stream::rebind`.
        virtual Result<void> rebind(const asio::any_io_executor& executor) = 0;
        /// See `Stream::native_handle`.
        virtual int native_handle() const noexcept { return -1; }
        /// See `Stream::is_tcp`.
        virtual bool is_tcp() const noexcept { return false; }
        /// See `Stream::unsent`.
        virtual std::size_t unsent() const noexcept { return 0; }
        /// See `Stream::watch`.
        virtual Result<void> watch() { return {}; }
        /// See `Stream::unwatch`.
        virtual void unwatch() noexcept {}
        /// See `Stream::release`.
        virtual UniqueFd release() noexcept { return {}; }
        /// See `Stream::peer_name`.
        virtual std::string_view peer_name() const noexcept { return {}; }
        /// See `Stream::lender`.
        virtual Lender* lender() noexcept { return nullptr; }
    };

    Stream() = default;
    /// A stream that `impl` carries.
    explicit Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

    /// Whether there is a stream at all: false after default construction and after a move.
    explicit operator bool() const noexcept { return impl_ != nullptr; }

    /// Where it must be used.
    asio::any_io_executor get_executor() { return impl_->get_executor(); }

    /// Reads available bytes, at most `buffer.size()` bytes; 0 is the end of the stream. An empty buffer may give 0 as
    /// well, which looks like the end: pass none.
    ///
    /// Errors: asio::error::would_block; what the system reports, a reset as asio::error::connection_reset.
    Result<std::size_t> try_read(std::span<std::byte> buffer)
    {
        return unread_ ? read_unread(buffer) : impl_->try_read(buffer);
    }

    /// Gives bytes back to the front of the stream: the next read returns them first. Readers that were given more
    /// than they can use do so, and the next reader misses nothing.
    void unread(std::span<const std::byte> bytes);

    /// Gives `text` back to the front of the stream.
    void unread(std::string_view text) { unread(std::as_bytes(std::span<const char>(text))); }

    /// How many bytes were given back and not read again. They are in this object, not in what carries the stream.
    std::size_t unread_size() const noexcept { return unread_ ? unread_->size() : 0; }

    /// Writes what fits, at least one byte.
    ///
    /// Errors: asio::error::would_block; what the system reports.
    Result<std::size_t> try_write(std::span<const std::byte> data) { return impl_->try_write(data); }

    /// Writes of `text` what fits, at least one byte.
    Result<std::size_t> try_write(std::string_view text)
    {
        return try_write(std::as_bytes(std::span<const char>(text)));
    }

    /// Completes when the stream is ready for `what`; may complete early, so try again then.
    ///
    /// Cancellation: any type; also by `abort()` and `close()`.
    /// Errors: asio::error::operation_aborted when cancelled or closed.
    asio::awaitable<Result<void>> wait(Readiness what);

    /// Reads at least one byte, waiting for it; 0 is the end of the stream, or of an empty buffer.
    ///
    /// Cancellation: that of `wait`; nothing is lost.
    /// Errors: those of `wait` and, but for would_block, of `try_read`.
    /// Lifetime: the stream and `buffer` must stay until completion.
    asio::awaitable<Result<std::size_t>> read_some(std::span<std::byte> buffer);

    /// Waits for at least one byte and copies what is there to `buffer`, without taking it out of the stream; 0 is the
    /// end of the stream, or of an empty buffer. A socket still holds the bytes, so that it can be handed over; of
    /// other streams they are read and given back by `unread`.
    ///
    /// Cancellation: that of `wait`; nothing is lost.
    /// Errors: those of `read_some`.
    /// Lifetime: the stream and `buffer` must stay until completion.
    asio::awaitable<Result<std::size_t>> peek_some(std::span<std::byte> buffer);

    /// Takes bytes out of the stream that `peek_some` has shown: `count` of them, from the front.
    void consume(std::size_t count);

    /// Writes all of `data`.
    ///
    /// Cancellation: that of `wait`; some of `data` may have been written.
    /// Errors: those of `wait` and, but for would_block, of `try_write`.
    /// Lifetime: the stream and `data` must stay until completion.
    asio::awaitable<Result<void>> write_all(std::span<const std::byte> data);

    /// Writes all of `text`.
    asio::awaitable<Result<void>> write_all(std::string_view text);

    /// Half-close: the peer reads the end of the stream after what was written before; reading goes on.
    ///
    /// Errors: what the system reports; of a terminal, whose end is a character, asio::error::would_block: try again
    /// when it is writable.
    Result<void> shutdown_send() { return impl_->shutdown_send(); }

    /// Ends the stream at once; over TCP the peer sees a reset. Outstanding waits complete as cancelled.
    void abort() noexcept
    {
        unread_.reset();
        impl_->abort();
    }

    /// Ends the stream in order. Outstanding waits complete as cancelled.
    void close() noexcept
    {
        unread_.reset();
        impl_->close();
    }

    /// Moves the stream to another executor. No wait may be outstanding.
    ///
    /// Errors: Errc::not_supported.
    /// Threads: call it on the old executor, or where nothing else can touch the stream.
    Result<void> rebind(const asio::any_io_executor& executor) { return impl_->rebind(executor); }

    /// The descriptor that carries the bytes unchanged, or -1 when there is none. It stays the stream's. Bytes that
    /// were given back come before those of the descriptor: look at `unread_size()` before anybody else reads it.
    int native_handle() const noexcept { return impl_ ? impl_->native_handle() : -1; }

    /// Whether TCP carries the stream, so that its peer can see a reset.
    bool is_tcp() const noexcept { return impl_ && impl_->is_tcp(); }

    /// The server at the other end, where that is one of several that could be; empty elsewhere.
    std::string_view peer_name() const noexcept { return impl_ ? impl_->peer_name() : std::string_view(); }

    /// The stream as one that lends what it holds; null when it does not, and while bytes were given back.
    Lender* lender() noexcept { return impl_ && !unread_ ? impl_->lender() : nullptr; }

    /// Bytes that were written and that the system, as far as it tells, has yet to deliver. `abort` throws them away.
    std::size_t unsent() const noexcept { return impl_ ? impl_->unsent() : 0; }

    /// Gets ready for waits, which change nothing about the descriptor from then on. Without it the first wait does.
    ///
    /// Errors: what the system reports.
    Result<void> watch() { return impl_->watch(); }

    /// Says that somebody else watches the descriptor from now on. No wait may be outstanding.
    void unwatch() noexcept { impl_->unwatch(); }

    /// Gives the descriptor away and leaves the stream empty; invalid when `native_handle()` is -1. Bytes that were
    /// given back are lost.
    UniqueFd release() noexcept
    {
        auto descriptor = impl_ ? impl_->release() : UniqueFd();
        impl_.reset();
        unread_.reset();
        return descriptor;
    }

private:
    Result<std::size_t> read_unread(std::span<std::byte> buffer);

    Result<std::size_t> try_peek(std::span<std::byte> buffer);

    std::unique_ptr<Impl> impl_;
    std::unique_ptr<std::vector<std::byte>> unread_;  ///< Never an empty one.
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/stream.hpp>
#endif
