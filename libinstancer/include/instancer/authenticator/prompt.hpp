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
#include <instancer/detail/text/typed_line.hpp>
#include <instancer/secret_set.hpp>

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
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override;

    static asio::awaitable<Result<std::string>> read_token(Stream& client);

    /// The tokens as they can be typed.
    static std::vector<std::string> typed(std::vector<std::string> tokens)
    {
        for (auto& token : tokens)
            token = std::string(detail::without_blanks(token));
        std::erase(tokens, std::string());
        return tokens;
    }

    SecretSet tokens_;
    const std::string prompt_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/authenticator/prompt.hpp>
#endif
