// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <asio/steady_timer.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/authenticator.hpp>
#include <instancer/relay/relay_greeting.hpp>
#include <instancer/relay/relay_handshake.hpp>

namespace instancer {

/// Has clients say the authentication string and the number of their channel, and tells them what was wrong. Clients of
/// one channel have one identity, and the channel is its owner.
class RelayAuthenticator final : public Authenticator {
public:
    /// Expects `authentication` of each client, and says what `greeting` has.
    RelayAuthenticator(std::string authentication, const RelayGreeting& greeting)
        : authentication_(std::move(authentication)), greeting_(greeting)
    {
    }

    /// Replaces the authentication string; clients that have said it already stay.
    ///
    /// Threads: any.
    void set_authentication(std::string text)
    {
        const std::lock_guard lock(mutex_);
        authentication_ = std::move(text);
    }

private:
    using State = RelayHandshake::State;

    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override;

    std::string authentication()
    {
        const std::lock_guard lock(mutex_);
        return authentication_;
    }

    static asio::awaitable<Result<void>> say(Stream& client, std::string text);

    static asio::awaitable<Result<Admission>> reject(Stream& client, std::string text, std::string reason);

    /// Reads at least one byte. A pause after a digit reads as nothing, as an end does.
    asio::awaitable<Result<std::size_t>> read(Stream& client, const RelayHandshake& handshake,
                                              std::span<std::byte> space);

    /// Whether the pause is over; nothing is read, which a pause that ends at that moment would throw away.
    static asio::awaitable<bool> is_quiet(Stream& client, asio::steady_timer& pause);

    Admission admit(std::uint32_t channel, std::string early) const;

    std::mutex mutex_;
    std::string authentication_;
    RelayGreeting greeting_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/relay/relay_authenticator.hpp>
#endif
