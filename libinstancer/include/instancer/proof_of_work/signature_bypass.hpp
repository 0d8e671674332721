// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include <instancer/result.hpp>

namespace instancer {

/// Tells an answer to a proof of work that a health check has signed instead of solving the challenge. It is the letter
/// b, a dot, and in hexadecimal digits the DER form of an ECDSA signature with P-256 and SHA-256 over the challenge, as
/// kCTF has it.
///
/// Threads: any.
class SignatureBypass {
public:
    /// For signatures of the private key that belongs to this public one, as a file of OpenSSL has it:
    /// `-----BEGIN PUBLIC KEY-----` and so on.
    ///
    /// Errors: Errc::bad_request when it is anything else.
    static Result<SignatureBypass> from_pem(std::string_view pem);

    /// Whether `answer` is a signature of `challenge`.
    bool operator()(std::string_view challenge, std::string_view answer) const;

private:
    class Key;

    explicit SignatureBypass(std::shared_ptr<const Key> key) : key_(std::move(key)) {}

    std::shared_ptr<const Key> key_;
};

}  // namespace instancer
