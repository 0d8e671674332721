// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/client.hpp>
#include <instancer/environment.hpp>
#include <instancer/result.hpp>
#include <instancer/stream.hpp>

namespace instancer {

/// The identity that an Authenticator found for a client, and the bytes that its protocol sends to that client later.
class Admission {
public:
    /// A client that can come back: `owner` is what caps and resets refer to, `identifier` tells apart the instances
    /// of one owner. Both may hold any bytes; only their hashes are kept.
    Admission(std::string owner, std::string identifier) : owner_(std::move(owner)), identifier_(std::move(identifier))
    {
    }

    /// A client that nobody can recognise later. It is its own owner.
    static Admission unique()
    {
        Admission admission{std::string(), std::string()};
        admission.returning_ = false;
        return admission;
    }

    /// What caps and resets refer to; empty for a client that nobody can recognise.
    const std::string& owner() const noexcept { return owner_; }
    /// Tells apart the instances of one owner.
    const std::string& identifier() const noexcept { return identifier_; }
    /// Whether a later connection can be recognised as the same client.
    bool returning() const noexcept { return returning_; }

    /// Every instance of the owner goes before this client gets one.
    bool reset() const noexcept { return reset_; }
    /// Sets whether every instance of the owner goes first.
    Admission& reset(bool value) noexcept
    {
        reset_ = value;
        return *this;
    }

    /// What an instance that is started for this client may be called in logs. Empty: as the backend likes.
    const std::string& label() const noexcept { return label_; }
    /// Sets the label.
    Admission& label(std::string text)
    {
        label_ = std::move(text);
        return *this;
    }

    /// Variables for an instance that is started for this client. A warm instance has started without them.
    const Environment& environment() const noexcept { return environment_; }
    /// Sets the variables.
    Admission& environment(Environment variables)
    {
        environment_ = std::move(variables);
        return *this;
    }

    /// Bytes for the client once its instance is open. None unless the protocol demands it.
    const std::string& banner() const noexcept { return banner_; }
    /// Sets the bytes for the client once its instance is open.
    Admission& banner(std::string bytes)
    {
        banner_ = std::move(bytes);
        return *this;
    }

    /// Bytes for the client when it gets no instance, by reason. None unless the protocol demands it.
    std::string on_refusal(const Error& reason) const { return on_refusal_ ? on_refusal_(reason) : std::string(); }
    /// Sets what makes the bytes for a client that gets no instance.
    Admission& on_refusal(std::function<std::string(const Error&)> bytes)
    {
        on_refusal_ = std::move(bytes);
        return *this;
    }

private:
    std::string owner_;
    std::string identifier_;
    std::string label_;
    Environment environment_;
    std::string banner_;
    std::function<std::string(const Error&)> on_refusal_;
    bool returning_ = true;
    bool reset_ = false;
};

/// Identifies clients.
///
/// To add a way, derive and implement `do_authenticate`. The deadline is the caller's business: it cancels.
///
/// Threads: called on the session's worker, on several at once.
class Authenticator {
public:
    Authenticator() = default;
    Authenticator(const Authenticator&) = delete;
    Authenticator& operator=(const Authenticator&) = delete;
    virtual ~Authenticator() = default;

    /// Whether it waits for bytes of the client at all, so that a deadline is needed.
    bool reads() const noexcept { return do_reads(); }

    /// Reads from `client` what it needs. It gives back by `Stream::unread` what belongs to the instance.
    ///
    /// Concurrency: any number of calls may be outstanding.
    /// Cancellation: terminal.
    /// Errors: Errc::rejected with a text that never holds the secret; Errc::cancelled for a client that leaves before
    /// it has said all; what the stream reports.
    asio::awaitable<Result<Admission>> authenticate(Stream& client, const ClientInfo& info)
    {
        return do_authenticate(client, info);
    }

private:
    virtual bool do_reads() const noexcept { return true; }
    virtual asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo& info) = 0;
};

}  // namespace instancer
