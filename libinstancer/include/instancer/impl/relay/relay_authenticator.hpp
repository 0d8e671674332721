// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <asio/experimental/awaitable_operators.hpp>
#include <asio/this_coro.hpp>

#include <instancer/detail/config.hpp>
#include <instancer/relay/relay_authenticator.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<Admission>> RelayAuthenticator::do_authenticate(Stream& client, const ClientInfo&)
{
    if (auto sent =
            co_await say(client, RelayHandshake::banner(greeting_.max_channel) + (greeting_.newline ? "\n" : ""));
        !sent)
        co_return fail(std::move(sent.error()));
    RelayHandshake handshake(authentication(), greeting_.max_channel);
    while (!handshake.is_over()) {
        std::array<char, 256> buffer;
        const auto space = std::span(buffer).first(std::min(handshake.wanted(), buffer.size()));
        const auto count = co_await read(client, handshake, std::as_writable_bytes(space));
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            handshake.pause();
        if (*count == 0 && !handshake.is_over())
            co_return fail(Errc::cancelled, handshake.state() == State::authentication
                                                ? "the client left before it had said all of the authentication string"
                                                : "the client left before it had said which channel");
        const std::string_view bytes(buffer.data(), *count);
        client.unread(bytes.substr(handshake.feed(bytes)));
    }
    if (handshake.state() == State::wrong_authentication)
        co_return co_await reject(client, "Authentication failure", "wrong authentication string");
    if (handshake.state() == State::wrong_channel)
        co_return co_await reject(client, "Failed to negotiate channel number", "no channel has such a number");
    co_return admit(handshake.channel());
}

INSTANCER_DECL asio::awaitable<Result<void>> RelayAuthenticator::say(Stream& client, std::string text)
{
    co_return co_await client.write_all(text);
}

INSTANCER_DECL asio::awaitable<Result<Admission>> RelayAuthenticator::reject(Stream& client, std::string text,
                                                                             std::string reason)
{
    static_cast<void>(co_await say(client, std::move(text)));
    co_return fail(Errc::rejected, std::move(reason));
}

INSTANCER_DECL asio::awaitable<Result<std::size_t>>
RelayAuthenticator::read(Stream& client, const RelayHandshake& handshake, std::span<std::byte> space)
{
    if (!handshake.has_digit())
        co_return co_await client.read_some(space);
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    asio::steady_timer pause(client.get_executor(), greeting_.digit_pause);
    for (bool waited = false;;) {
        auto count = client.try_read(space);
        if (count || count.error() != std::error_code(asio::error::would_block))
            co_return count;
        if (is_cancelled(cancellation))
            co_return fail(std::error_code(asio::error::operation_aborted));
        if (waited)
            co_return 0;
        waited = co_await is_quiet(client, pause);
    }
}

INSTANCER_DECL asio::awaitable<bool> RelayAuthenticator::is_quiet(Stream& client, asio::steady_timer& pause)
{
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (client.wait(Readiness::readable) || pause.async_wait(as_result));
    co_return first.index() == 1 || !std::get<0>(first);
}

INSTANCER_DECL Admission RelayAuthenticator::admit(std::uint32_t channel) const
{
    std::string number;
    for (; number.empty() || channel != 0; channel >>= 4)
        number.insert(number.begin(), "0123456789abcdef"[channel & 15]);
    Admission admission(number, number);
    admission.label("channel " + number);
    if (greeting_.ready)
        admission.banner("READY");
    admission.on_refusal([](const Error& reason) {
        return reason == Errc::full ? std::string("Connection Group Full") : std::string();
    });
    return admission;
}

}  // namespace instancer
