// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/authenticator.hpp>
#include <instancer/secret_set.hpp>

namespace instancer {

/// 128 secret bytes that a client shows.
class Token {
public:
    static constexpr std::size_t size = 128;  ///< Bytes of a token.

    /// `bytes` holds exactly `size` bytes.
    explicit Token(std::string_view bytes) { std::memcpy(bytes_.data(), bytes.data(), size); }

    /// The secret itself.
    std::string_view bytes() const noexcept { return {bytes_.data(), size}; }

private:
    std::array<char, size> bytes_;
};

/// What a client says first: a token, and which of its instances it wants. 130 bytes that come in pieces of any size.
class TokenGreeting {
public:
    static constexpr std::size_t identifier_size = 2;                   ///< Bytes of an identifier.
    static constexpr std::size_t size = Token::size + identifier_size;  ///< Bytes of a greeting.

    /// Where the next bytes go. It ends with the greeting: what follows that is not read.
    std::span<std::byte> missing() noexcept { return std::as_writable_bytes(std::span(bytes_)).subspan(received_); }

    /// So many of the `missing` bytes are there now.
    void add(std::size_t count) noexcept { received_ += count; }

    /// Bytes that have come.
    std::size_t received() const noexcept { return received_; }
    /// Whether the whole greeting is there.
    bool is_complete() const noexcept { return received_ == size; }

    // Of a complete greeting:
    /// The token; valid when the greeting is complete.
    std::string_view token() const noexcept { return {bytes_.data(), Token::size}; }
    /// The identifier; valid when the greeting is complete.
    std::string_view identifier() const noexcept { return {bytes_.data() + Token::size, identifier_size}; }

private:
    std::array<char, size> bytes_{};
    std::size_t received_ = 0;
};

/// Reads the 130-byte greeting: a token, then two bytes of identifier. Nothing is ever sent. The reset identifier
/// asks for every instance of the token to go first; the connection then goes on to a fresh one.
///
/// Exactly the greeting is read from the stream: what follows stays there for the instance.
class TokenAuthenticator final : public Authenticator {
public:
    /// Two bytes that tell apart the instances of one token.
    using Identifier = std::array<std::uint8_t, 2>;

    /// Admits who shows one of `tokens`; `reset_identifier` is the one that asks for a reset.
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
