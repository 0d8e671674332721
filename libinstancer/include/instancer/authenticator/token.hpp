// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <instancer/authenticator.hpp>
#include <instancer/authenticator/token_greeting.hpp>
#include <instancer/secret_set.hpp>

namespace instancer {

/// Reads the 130-byte greeting: a token, then two bytes of identifier. Nothing is ever sent. The reset identifier
/// asks for every instance of the token to go first; the connection then goes on to a fresh one.
///
/// Exactly the greeting is read from the stream: what follows stays there for the instance.
class TokenAuthenticator final : public Authenticator {
public:
    /// Two bytes that tell apart the instances of one token.
    using Identifier = std::array<std::uint8_t, 2>;

    /// Admits clients that show one of `tokens`; `reset_identifier` is the one that asks for a reset.
    explicit TokenAuthenticator(const std::vector<Token>& tokens, Identifier reset_identifier = {0, 0})
        : tokens_(bytes_of(tokens)), reset_identifier_(reset_identifier)
    {
    }

    /// Replaces the accepted tokens; sessions that are admitted already stay.
    ///
    /// Threads: any.
    void set_tokens(const std::vector<Token>& tokens) { tokens_.replace(bytes_of(tokens)); }

private:
    asio::awaitable<Result<Admission>> do_authenticate(Stream& client, const ClientInfo&) override;

    static std::vector<std::string> bytes_of(const std::vector<Token>& tokens);

    SecretSet tokens_;
    Identifier reset_identifier_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/authenticator/token.hpp>
#endif
