// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <asio/error.hpp>

#include <instancer/authenticator.hpp>
#include <instancer/detail/secret_set.hpp>
#include <instancer/read_line.hpp>

namespace instancer {

/// Asks for a token in a line of text: for people who come with nc or telnet. Each token has one instance.
///
/// The client is told the prompt, that its token is unknown, and why it gets no instance; nothing else. Exactly the
/// line is read from the stream: what follows stays there for the instance.
class PromptAuthenticator final : public Authenticator {
public:
    static constexpr std::size_t max_token = 256;  ///< Bytes of a token at most.

    /// Admits who names one of `tokens`, none of which is empty.
    explicit PromptAuthenticator(std::vector<std::string> tokens, std::string prompt = "token: ")
        : tokens_(std::move(tokens)), prompt_(std::move(prompt))
    {
    }

    /// Replaces the accepted tokens; sessions that are admitted already stay.
    ///
    /// Threads: any.
    void set_tokens(std::vector<std::string> tokens) { tokens_.replace(std::move(tokens)); }

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override
    {
        auto asked = co_await client.write_all(prompt_);
        if (!asked)
            co_return fail(std::move(asked.error()));
        auto token = co_await read_line(client, max_token);
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

    detail::SecretSet tokens_;
    const std::string prompt_;
};

}  // namespace instancer
