// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/authenticator/token_verifier.hpp>
#include <instancer/detail/text/typed_line.hpp>
#include <instancer/secret_set.hpp>

namespace instancer {

/// Admits clients that name a token of a list, and behind a blank, if they like, which of their instances they want.
class TokenListVerifier final : public TokenVerifier {
public:
    /// Accepts `tokens`; none that is empty. Blanks around a token do not count.
    explicit TokenListVerifier(std::vector<std::string> tokens = {}) : tokens_(typed(std::move(tokens))) {}

    /// Replaces the accepted tokens; sessions that are admitted already stay.
    ///
    /// Threads: any.
    void set_tokens(std::vector<std::string> tokens) { tokens_.replace(typed(std::move(tokens))); }

private:
    asio::awaitable<Result<Admission>> do_verify(std::string line, const ClientInfo&) override
    {
        co_return admit(line);
    }

    Result<Admission> admit(std::string_view line) const
    {
        return admit_typed(line, [this](std::string_view token) -> Result<std::string> {
            if (!tokens_.contains(token))
                return fail(Errc::rejected, "unknown token");
            return std::string(token);
        });
    }

    /// The tokens as they can be typed.
    static std::vector<std::string> typed(std::vector<std::string> tokens)
    {
        for (auto& token : tokens)
            token = std::string(detail::without_blanks(token));
        std::erase(tokens, std::string());
        return tokens;
    }

    SecretSet tokens_;
};

}  // namespace instancer
