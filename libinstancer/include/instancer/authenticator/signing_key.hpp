// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <instancer/result.hpp>

namespace instancer {

/// A key that signed tokens are verified by. It alone says by which algorithm: no token has a say in that.
///
/// `instancer::instancer` has it, which is compiled with OpenSSL, and `instancer::headers` has not.
class SigningKey {
public:
    /// What it takes to make a signature that the key verifies.
    enum class Algorithm {
        hmac_sha256,  ///< The key itself: a secret that the signer shares.
        ed25519,      ///< The private key that belongs to this public one.
    };

    static constexpr std::size_t least_secret = 32;  ///< Bytes of a shared secret at least (RFC 7518, section 3.2).
    static constexpr std::size_t ed25519_size = 32;  ///< Bytes of a public key of Ed25519.

    /// A secret that the signer shares.
    ///
    /// Errors: Errc::bad_request when it is too short.
    static Result<SigningKey> shared_secret(std::string_view bytes);

    /// The bytes of a public key of Ed25519.
    ///
    /// Errors: Errc::bad_request when their number is wrong.
    static Result<SigningKey> ed25519(std::string_view bytes);

    /// A public key of Ed25519 as a file of OpenSSL has it: `-----BEGIN PUBLIC KEY-----` and so on.
    ///
    /// Errors: Errc::bad_request when it is anything else.
    static Result<SigningKey> from_pem(std::string_view pem);

    /// How the signatures are made that it verifies.
    Algorithm algorithm() const noexcept { return algorithm_; }

    /// Whether `signature`, in bytes, is that of `message`.
    bool verifies(std::string_view message, std::string_view signature) const;

private:
    SigningKey(Algorithm algorithm, std::string_view bytes) : algorithm_(algorithm), bytes_(bytes) {}

    Algorithm algorithm_;
    std::string bytes_;
};

}  // namespace instancer
