// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/error.hpp>

#include <instancer/authenticator.hpp>
#include <instancer/detail/crypto/secret_set.hpp>
#include <instancer/detail/text/typed_line.hpp>

namespace instancer {

/// Asks for a token in a line of text: for people who come with nc or telnet. Each token has one instance.
///
/// The client is told the prompt, that its token is unknown, why it gets no instance, and that nothing is negotiated if
/// it is telnet that asks; nothing else. Exactly the line is read from the stream: what follows stays there for the
/// instance, whatever telnet means by it. Blanks around a token do not count.
class PromptAuthenticator final : public Authenticator {
public:
    static constexpr std::size_t max_token = 256;  ///< Bytes of a token at most.

    /// Admits who names one of `tokens`; none that is empty.
    explicit PromptAuthenticator(std::vector<std::string> tokens, std::string prompt = "token: ")
        : tokens_(typed(std::move(tokens))), prompt_(std::move(prompt))
    {
    }

    /// Replaces the accepted tokens; sessions that are admitted already stay.
    ///
    /// Threads: any.
    void set_tokens(std::vector<std::string> tokens) { tokens_.replace(typed(std::move(tokens))); }

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override
    {
        auto asked = co_await client.write_all(prompt_);
        if (!asked)
            co_return fail(std::move(asked.error()));
        auto token = co_await read_token(client);
        if (!token && token.error() == asio::error::make_error_code(asio::error::eof))
            co_return fail(Errc::rejected, "the client left before it had named a token");
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

    static asio::awaitable<Result<std::string>> read_token(Stream& client)
    {
        using State = detail::TypedLine::State;
        detail::TypedLine line(max_token);
        for (auto state = State::incomplete; state != State::complete;) {
            std::byte byte{};
            auto count = co_await client.read_some(std::span(&byte, 1));
            if (!count)
                co_return fail(std::move(count.error()));
            if (*count == 0)
                co_return fail(asio::error::make_error_code(asio::error::eof), "within a line");
            state = line.feed(std::to_integer<std::uint8_t>(byte));
            if (state == State::too_long)
                co_return fail(Errc::rejected, "a line of more than " + std::to_string(max_token) + " bytes");
            // Best effort: telnet does without an answer.
            if (const auto reply = line.take_reply(); !reply.empty())
                static_cast<void>(client.try_write(reply));
        }
        co_return std::string(line.text());
    }

    /// The tokens as they can be typed.
    static std::vector<std::string> typed(std::vector<std::string> tokens)
    {
        for (auto& token : tokens)
            token = std::string(detail::without_blanks(token));
        std::erase(tokens, std::string());
        return tokens;
    }

    detail::SecretSet tokens_;
    const std::string prompt_;
};

}  // namespace instancer
