// SPDX-License-Identifier: MIT
#pragma once

#include <array>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<Admission>> PromptAuthenticator::do_authenticate(Stream& client,
                                                                                       const ClientInfo&)
{
    auto asked = co_await client.write_all(prompt_);
    if (!asked)
        co_return fail(std::move(asked.error()));
    auto token = co_await read_token(client);
    if (!token && token.error() == asio::error::make_error_code(asio::error::eof))
        co_return fail(Errc::cancelled, "the client left before it had named a token");
    if (!token)
        co_return fail(std::move(token.error()));
    if (!tokens_.contains(*token)) {
        static constexpr std::string_view answer = "unknown token\n";
        static_cast<void>(client.try_write(answer));
        co_return fail(Errc::rejected, "unknown token");
    }
    Admission admission(std::move(*token), std::string());
    admission.on_refusal([](const Error& reason) { return reason.code().message() + "\n"; });
    co_return admission;
}

INSTANCER_DECL asio::awaitable<Result<std::string>> PromptAuthenticator::read_token(Stream& client)
{
    using State = detail::TypedLine::State;
    detail::TypedLine line(max_token);
    std::array<std::byte, 256> buffer;
    for (auto state = State::incomplete; state != State::complete;) {
        const auto count = co_await client.peek_some(buffer);
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            co_return fail(asio::error::make_error_code(asio::error::eof), "within a line");
        std::size_t taken = 0;
        while (state == State::incomplete && taken < *count)
            state = line.feed(std::to_integer<std::uint8_t>(buffer[taken++]));
        client.consume(taken);
        if (state == State::too_long)
            co_return fail(Errc::rejected, "a line of more than " + std::to_string(max_token) + " bytes");
        // Best effort: telnet does without an answer.
        if (const auto reply = line.take_reply(); !reply.empty())
            static_cast<void>(client.try_write(reply));
    }
    co_return std::string(line.text());
}

}  // namespace instancer
