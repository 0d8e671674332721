// SPDX-License-Identifier: MIT
// Tokens as a platform signs them, by the key pair of RFC 8037 (appendix A.1) or by a shared secret.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <openssl/evp.h>

#include <instancer/detail/crypto/base64.hpp>
#include <instancer/hmac.hpp>
#include <instancer/text/hex.hpp>

namespace signed_tokens {

inline constexpr std::string_view private_key = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
inline constexpr std::string_view public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
inline constexpr std::string_view public_pem = "-----BEGIN PUBLIC KEY-----\n"
                                               "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"
                                               "-----END PUBLIC KEY-----\n";

/// Makes the signature of a message.
using Sign = std::function<std::string(std::string_view)>;

inline std::string by_ed25519(std::string_view message)
{
    const auto bytes = [](std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); };
    const auto secret = instancer::from_hex(private_key).value();
    const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes(secret), secret.size()), EVP_PKEY_free);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    std::string signature(64, '\0');
    std::size_t size = signature.size();
    REQUIRE(EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
    REQUIRE(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size, bytes(message),
                           message.size()) == 1);
    return signature;
}

inline Sign by_secret(std::string secret)
{
    return [secret = std::move(secret)](std::string_view message) {
        return instancer::from_hex(instancer::hmac_sha256(secret, message)).value();
    };
}

inline std::string base64url(std::string_view bytes)
{
    auto text = instancer::detail::base64_encode(bytes);
    std::replace(text.begin(), text.end(), '+', '-');
    std::replace(text.begin(), text.end(), '/', '_');
    return text.substr(0, text.find('='));
}

inline std::string web_token(std::string_view header, std::string_view claims, const Sign& sign)
{
    const auto text = base64url(header) + "." + base64url(claims);
    return text + "." + base64url(sign(text));
}

/// As libsodium joins signature and message, in hex.
inline std::string signed_id(std::string_view id) { return instancer::to_hex(by_ed25519(id) + std::string(id)); }

}  // namespace signed_tokens
