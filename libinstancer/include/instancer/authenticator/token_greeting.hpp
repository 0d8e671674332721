// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>

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

/// The greeting of a client: a token, and which of its instances it wants. 130 bytes that come in pieces of any size.
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

}  // namespace instancer
