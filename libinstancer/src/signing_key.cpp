// SPDX-License-Identifier: MIT
#include <memory>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <instancer/authenticator/signing_key.hpp>
#include <instancer/equal_secrets.hpp>
#include <instancer/hmac.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {
namespace {

using KeyPtr = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

const unsigned char* bytes_of(std::string_view text) { return reinterpret_cast<const unsigned char*>(text.data()); }

bool verifies_ed25519(std::string_view key_bytes, std::string_view message, std::string_view signature)
{
    const KeyPtr key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key_bytes), key_bytes.size()),
                     EVP_PKEY_free);
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    const bool verified =
        key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
        EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) == 1;
    // What it says of a wrong one would stay with the thread.
    ERR_clear_error();
    return verified;
}

}  // namespace

Result<SigningKey> SigningKey::shared_secret(std::string_view bytes)
{
    if (bytes.size() < least_secret)
        return fail(Errc::bad_request, "a shared secret of " + std::to_string(bytes.size()) +
                                           " bytes, which can be guessed; use 32 or more");
    return SigningKey(Algorithm::hmac_sha256, bytes);
}

Result<SigningKey> SigningKey::ed25519(std::string_view bytes)
{
    if (bytes.size() != ed25519_size)
        return fail(Errc::bad_request, "a public key of Ed25519 has 32 bytes");
    return SigningKey(Algorithm::ed25519, bytes);
}

Result<SigningKey> SigningKey::from_pem(std::string_view pem)
{
    const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                         BIO_free);
    const KeyPtr key(PEM_read_bio_PUBKEY(text.get(), nullptr, nullptr, nullptr), EVP_PKEY_free);
    std::string bytes(ed25519_size, '\0');
    std::size_t size = bytes.size();
    const bool usable =
        key && EVP_PKEY_id(key.get()) == EVP_PKEY_ED25519 &&
        EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(bytes.data()), &size) == 1;
    ERR_clear_error();
    if (!usable)
        return fail(Errc::bad_request, "no public key of Ed25519; openssl pkey -pubout makes one of a private key");
    return ed25519(bytes);
}

bool SigningKey::verifies(std::string_view message, std::string_view signature) const
{
    return algorithm_ == Algorithm::hmac_sha256 ? equal_secrets(hmac_sha256(bytes_, message), to_hex(signature))
                                                : verifies_ed25519(bytes_, message, signature);
}

}  // namespace instancer
