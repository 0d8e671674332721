// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/bridge.hpp>
#include <instancer/session.hpp>

namespace instancer {

/// The data that a hook passes on in place of what came. Bytes, text and coroutines that answer convert to it:
///
///     return data;                    // as it was, or as it is after changes in place: nothing is copied
///     return std::string("other");    // something else
///     return {};                      // nothing
///     return HookAnswer::end("bye");  // this, and then the session ends
///     return ask_somebody(data);      // what that coroutine answers; its direction is not read until then
class HookAnswer {
public:
    /// The step after the answer is passed on.
    enum class Then {
        go_on,  ///< The session goes on.
        end,    ///< End the session in order.
        reset,  ///< Reset both connections.
    };

    HookAnswer() = default;

    /// Lifetime: the bytes must stay until the hook is called for this direction again.
    HookAnswer(std::span<char> data) noexcept : borrowed_(data) {}
    /// Passes `data` on, which stays the caller's.
    HookAnswer(std::span<const char> data) noexcept : borrowed_(data) {}
    /// Passes `data` on.
    HookAnswer(std::string data) noexcept : owned_(std::move(data)) {}
    /// Passes `text` on.
    HookAnswer(const char* text) : owned_(text) {}

    /// Cancellation: terminal, when the session ends before it answers.
    HookAnswer(asio::awaitable<HookAnswer> later) noexcept : later_(std::move(later)) {}

    /// Passes `last` on and ends the session in order, as if both sides had closed. What the receiver of the other
    /// direction has not taken by then is left out.
    static HookAnswer end(HookAnswer last)
    {
        if (last.then_ == Then::go_on)
            last.then_ = Then::end;
        return last;
    }

    /// Ends the session and passes nothing more on.
    static HookAnswer end() { return end(HookAnswer()); }

    /// Resets both connections at once.
    static HookAnswer reset()
    {
        HookAnswer answer;
        answer.then_ = Then::reset;
        return answer;
    }

    // For the bridge.

    /// The data to pass on.
    std::span<const std::byte> bytes() const noexcept
    {
        return std::as_bytes(owned_.empty() ? borrowed_ : std::span<const char>(owned_));
    }
    /// The step after that.
    Then then() const noexcept { return then_; }

    /// Whether the answer is what a coroutine is going to say.
    bool is_later() const noexcept { return later_.valid(); }
    /// The coroutine; call it once.
    asio::awaitable<HookAnswer> later() && noexcept { return std::move(later_); }

private:
    std::span<const char> borrowed_;
    std::string owned_;
    asio::awaitable<HookAnswer> later_;
    Then then_ = Then::go_on;
};

/// Sees what passes through one session, and may change it. To use one, derive, override what is of interest, and give
/// a HookedBridge a function that makes one for each session:
///
///     class Shout final : public SessionHook {
///         HookAnswer from_instance(std::span<char> data) override
///         {
///             std::transform(data.begin(), data.end(), data.begin(), [](unsigned char c) { return std::toupper(c); });
///             return data;
///         }
///     };
///
/// `data` is what one read gave, at most 64,000 bytes: where it begins and ends means nothing. Urgent data is passed on
/// without being shown.
///
/// Concurrency: one call per direction at a time, coroutines included; the directions do not wait for each other.
/// Errors: an exception ends this session alone, by a reset and with a warning.
/// Lifetime: destroyed when the session has ended. `data` stays until the answer is there.
/// Threads: all of one session on its executor, which a coroutine runs on too; sessions on several.
class SessionHook {
public:
    SessionHook() = default;
    SessionHook(const SessionHook&) = delete;
    SessionHook& operator=(const SessionHook&) = delete;
    virtual ~SessionHook() = default;

    /// Data from the client; the answer goes to the instance.
    virtual HookAnswer from_client(std::span<char> data) { return data; }
    /// Data from the instance; the answer goes to the client.
    virtual HookAnswer from_instance(std::span<char> data) { return data; }

    /// The client sends no more. The answer is passed on before the end.
    virtual HookAnswer client_ended() { return {}; }

    /// The instance sends no more. The answer is passed on before the end.
    virtual HookAnswer instance_ended() { return {}; }

    /// Both connections have ended; the last call.
    virtual void session_ended(BridgeEnd end) { (void)end; }
};

/// Makes the hook of a session; none where it needs none, which costs nothing from then on.
///
/// Lifetime: the information stays until the hook is destroyed.
/// Threads: any worker, several at once.
using HookFactory = std::function<std::unique_ptr<SessionHook>(const SessionInfo&)>;

}  // namespace instancer
