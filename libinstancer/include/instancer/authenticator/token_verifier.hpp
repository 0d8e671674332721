// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/authenticator.hpp>
#include <instancer/client.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Finds the owner of a token that a client has typed, or has sent as its first line.
///
/// To add a way, derive, implement `do_verify`, and give it to a PromptAuthenticator.
///
/// Threads: called on the session's worker, on several at once.
class TokenVerifier {
public:
    TokenVerifier() = default;
    TokenVerifier(const TokenVerifier&) = delete;
    TokenVerifier& operator=(const TokenVerifier&) = delete;
    virtual ~TokenVerifier() = default;

    /// Admits the client that has named `line`, which has no blanks around it.
    ///
    /// Concurrency: any number of calls may be outstanding.
    /// Cancellation: terminal.
    /// Errors: Errc::rejected; Errc::backend_unavailable, where nobody can say it now. The text never holds the line.
    asio::awaitable<Result<Admission>> verify(std::string line, const ClientInfo& client)
    {
        return do_verify(std::move(line), client);
    }

private:
    virtual asio::awaitable<Result<Admission>> do_verify(std::string line, const ClientInfo& client) = 0;
};

/// A line that a client has typed: a token, and often nothing else.
class TypedToken {
public:
    /// All of `line` is the token.
    explicit TypedToken(std::string_view line) noexcept : token_(line) {}

    /// The text behind the last blank of `line` tells apart the instances of one owner. Without a blank all of it is
    /// the token.
    static TypedToken with_identifier(std::string_view line) noexcept
    {
        static constexpr std::string_view blanks = " \t";
        TypedToken typed(line);
        const auto last = line.find_last_of(blanks);
        if (last == line.npos)
            return typed;
        typed.token_ = line.substr(0, line.find_last_not_of(blanks, last) + 1);
        typed.identifier_ = line.substr(last + 1);
        return typed;
    }

    /// The secret.
    std::string_view token() const noexcept { return token_; }
    /// Which of the owner's instances is meant; empty where nothing was said.
    std::string_view identifier() const noexcept { return identifier_; }

private:
    std::string_view token_;
    std::string_view identifier_;
};

/// Tries all of `line` as a token, and then its part before the last blank; `owner_of` finds the owner of a token.
inline Result<Admission> admit_typed(std::string_view line,
                                     const std::function<Result<std::string>(std::string_view)>& owner_of)
{
    TypedToken typed(line);
    auto owner = owner_of(typed.token());
    if (const auto split = TypedToken::with_identifier(line); !owner && !split.identifier().empty()) {
        typed = split;
        owner = owner_of(typed.token());
    }
    if (!owner)
        return fail(std::move(owner.error()));
    return Admission(std::move(*owner), std::string(typed.identifier()));
}

}  // namespace instancer
