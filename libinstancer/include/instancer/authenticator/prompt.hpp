// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <instancer/authenticator.hpp>
#include <instancer/authenticator/token_list.hpp>
#include <instancer/authenticator/token_verifier.hpp>

namespace instancer {

/// Asks for a token in a line of text: for people who come with nc or telnet, or for programs that send it as their
/// first line. Each token has one instance, or one for each identifier that follows it behind a blank.
///
/// The client is told the prompt, that its token is unknown, why it gets no instance, and that nothing is negotiated if
/// it is telnet that asks; nothing else. Without a prompt it is told nothing. Exactly the line is read from the stream:
/// what follows stays there for the instance, whatever telnet means by it. Blanks around a line do not count.
class PromptAuthenticator final : public Authenticator {
public:
    static constexpr std::size_t max_token = 256;  ///< Bytes of a line at most, where a list holds the tokens.

    /// Admits clients that name one of `tokens`; an empty token admits nobody.
    explicit PromptAuthenticator(std::vector<std::string> tokens, std::string prompt = "token: ")
        : PromptAuthenticator(std::make_unique<TokenListVerifier>(std::move(tokens)), std::move(prompt), max_token)
    {
    }

    /// Admits whom `verifier` admits, by a line of `max_line` bytes at most.
    PromptAuthenticator(std::unique_ptr<TokenVerifier> verifier, std::string prompt, std::size_t max_line)
        : verifier_(std::move(verifier)), prompt_(std::move(prompt)), max_line_(max_line)
    {
    }

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo& info) override;

    /// Best effort: a client that does not take a line at once does not get it.
    void tell(Stream& client, const Error& error) const;

    const std::unique_ptr<TokenVerifier> verifier_;
    const std::string prompt_;
    const std::size_t max_line_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/authenticator/prompt.hpp>
#endif
