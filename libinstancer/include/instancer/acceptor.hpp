// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>

#include <instancer/client.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// What an Acceptor keeps of a client for as long as its session lasts, and has to do with it at its beginning.
///
/// Threads: those of the session; it may be destroyed on any.
class ConnectionSlot {
public:
    ConnectionSlot() = default;
    ConnectionSlot(const ConnectionSlot&) = delete;
    ConnectionSlot& operator=(const ConnectionSlot&) = delete;
    virtual ~ConnectionSlot() = default;

    /// Whether `introduce` must be called before anything else is done with the client.
    bool needs_introduction() const { return do_needs_introduction(); }

    /// Reads the client's address from the connection itself and writes it into `info`. Reads exactly what it needs.
    ///
    /// Cancellation: terminal.
    /// Errors: Errc::rejected, Errc::denied, Errc::full; what the stream reports. Of a client that is not let in the
    /// stream may be gone.
    asio::awaitable<Result<void>> introduce(Stream& client, ClientInfo& info) { return do_introduce(client, info); }

    /// The client, of whom `info` is known by now, was refused by Errc::rejected: it did not prove what it had to.
    void note_rejection(const ClientInfo& info, const Error& error) { do_note_rejection(info, error); }

private:
    virtual bool do_needs_introduction() const = 0;
    virtual asio::awaitable<Result<void>> do_introduce(Stream& client, ClientInfo& info) = 0;
    virtual void do_note_rejection(const ClientInfo&, const Error&) {}
};

/// A client that an Acceptor took in.
class Accepted {
public:
    /// By name.
    using Attributes = std::map<std::string, std::string, std::less<>>;

    /// A client at `stream`, of whom `info` is known.
    Accepted(Stream stream, ClientInfo info) : stream_(std::move(stream)), info_(std::move(info)) {}

    /// The client's connection; the server takes it.
    Stream& stream() noexcept { return stream_; }
    /// The client, as far as is known by now.
    ClientInfo& info() noexcept { return info_; }

    /// Empty for a client of which nothing needs to be kept.
    std::unique_ptr<ConnectionSlot>& slot() noexcept { return slot_; }

    /// What the acceptor has learned of the client besides, for the stages of its admission.
    Attributes& attributes() noexcept { return attributes_; }

    /// Why the client is not let in; its stream may be gone then.
    const std::optional<Error>& refusal() const noexcept { return refusal_; }
    /// Says why the client is not let in.
    void refuse(Error error) { refusal_ = std::move(error); }

private:
    Stream stream_;
    ClientInfo info_;
    std::unique_ptr<ConnectionSlot> slot_;
    Attributes attributes_;
    std::optional<Error> refusal_;
};

/// Takes clients in.
///
/// Threads: call every member on the executor that it was made with.
class Acceptor {
public:
    Acceptor() = default;
    Acceptor(const Acceptor&) = delete;
    Acceptor& operator=(const Acceptor&) = delete;
    virtual ~Acceptor() = default;

    /// Waits for the next client; its Stream belongs to `session_executor`.
    ///
    /// Concurrency: one call at a time.
    /// Cancellation: terminal; also by `close`.
    /// Errors: what the system reports. Only asio::error::operation_aborted is final; anything else (no descriptors
    /// left, a client that left while it waited) is worth another try after a pause.
    asio::awaitable<Result<Accepted>> accept(asio::any_io_executor session_executor)
    {
        return do_accept(std::move(session_executor));
    }

    /// Stops listening for a while: the system refuses clients, as where nobody listens, and resets those that wait to
    /// be taken in. `accept` goes on waiting.
    ///
    /// Errors: Errc::not_supported, what the system reports; it listens on then.
    Result<void> pause() { return do_pause(); }

    /// Listens again, at the same address.
    ///
    /// Errors: what the system reports, as when somebody else took the address meanwhile; try again then.
    Result<void> resume() { return do_resume(); }

    /// Another acceptor of the same listening socket, on the same executor. Each client goes to one of the two; the
    /// system refuses nobody until both are closed. Where this one is paused, both listen again.
    ///
    /// Errors: Errc::not_supported; what the system reports.
    Result<std::unique_ptr<Acceptor>> share() { return do_share(); }

    /// Stops listening. The name of a Unix socket disappears with the last of the acceptors that share it, if one of
    /// them made it.
    void close() { do_close(); }

    /// Where it listens, with the port that it really got.
    std::string address() const { return do_address(); }

private:
    virtual asio::awaitable<Result<Accepted>> do_accept(asio::any_io_executor session_executor) = 0;
    virtual Result<void> do_pause()
    {
        return fail(Errc::not_supported, address() + " cannot stop listening for a while");
    }
    virtual Result<void> do_resume() { return {}; }
    virtual Result<std::unique_ptr<Acceptor>> do_share()
    {
        return fail(Errc::not_supported, address() + " cannot be shared");
    }
    virtual void do_close() = 0;
    virtual std::string do_address() const = 0;
};

}  // namespace instancer
