// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/authenticator/signing_key.hpp>
#include <instancer/authenticator/token_verifier.hpp>

namespace instancer {

/// Admits clients with a token that somebody else has signed and that no list holds. Behind a blank they may say which
/// of their instances they want.
///
/// A token is one of two:
/// - a JSON Web Token (RFC 7519), signed by HS256 (RFC 7515) or EdDSA (RFC 8037). Its claim `aud` names the service,
///   `sub` the owner; `exp` must be still to come, and `nbf`, if it is there, past. The key says by which algorithm the
///   token is signed: a header that says otherwise is wrong. Every key is tried, whatever `kid` says.
/// - in hex the 64 bytes of an Ed25519 signature and the signed message, which is the owner: letters, digits, `-` and
///   `_`, 64 at most. It is valid for every service, and for ever.
///
/// `instancer::instancer` has it, which is compiled with nlohmann/json and OpenSSL, and `instancer::headers` has not.
class SignedTokenVerifier final : public TokenVerifier {
public:
    static constexpr std::size_t max_token = 4096;  ///< Bytes of a line at most.

    /// The current time.
    using Clock = std::function<std::chrono::system_clock::time_point()>;

    /// Accepts tokens for `audience` that one of `keys` verifies.
    explicit SignedTokenVerifier(std::string audience, std::vector<SigningKey> keys = {},
                                 Clock clock = std::chrono::system_clock::now);

    /// Replaces the keys; sessions that are admitted already stay.
    ///
    /// Threads: any.
    void set_keys(std::vector<SigningKey> keys);

    /// The owner of `token`.
    ///
    /// Errors: Errc::rejected, and why in a text that holds nothing of the token.
    /// Threads: any.
    Result<std::string> owner_of(std::string_view token) const;

private:
    using Keys = std::shared_ptr<const std::vector<SigningKey>>;

    asio::awaitable<Result<Admission>> do_verify(std::string line, const ClientInfo&) override;

    Keys keys() const;

    const std::string audience_;
    const Clock clock_;
    mutable std::mutex mutex_;
    Keys keys_;
};

}  // namespace instancer
