// SPDX-License-Identifier: MIT
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>

#include <instancer/proof_of_work/signature_bypass.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

class SignatureBypass::Key {
public:
    explicit Key(std::string_view pem)
    {
        const std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                             BIO_free);
        key_.reset(PEM_read_bio_PUBKEY(text.get(), nullptr, nullptr, nullptr));
        ERR_clear_error();
    }

    bool is_usable() const { return key_ && EVP_PKEY_id(key_.get()) == EVP_PKEY_EC && is_on_p256(); }

    bool verifies(std::string_view message, std::string_view signature) const
    {
        const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
        const bool verified =
            context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1 &&
            EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message), message.size()) ==
                1;
        // What it says of a wrong one would stay with the thread.
        ERR_clear_error();
        return verified;
    }

private:
    bool is_on_p256() const
    {
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
        char curve[64]{};
        return EVP_PKEY_get_group_name(key_.get(), curve, sizeof curve, nullptr) == 1 &&
               OBJ_txt2nid(curve) == NID_X9_62_prime256v1;
#else
        return EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key_.get()))) == NID_X9_62_prime256v1;
#endif
    }

    static const unsigned char* bytes_of(std::string_view text)
    {
        return reinterpret_cast<const unsigned char*>(text.data());
    }

    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_{nullptr, EVP_PKEY_free};
};

Result<SignatureBypass> SignatureBypass::from_pem(std::string_view pem)
{
    auto key = std::make_shared<const Key>(pem);
    if (!key->is_usable())
        return fail(Errc::bad_request,
                    "no public key of ECDSA with P-256; openssl pkey -pubout makes one of a private key");
    return SignatureBypass(std::move(key));
}

bool SignatureBypass::operator()(std::string_view challenge, std::string_view answer) const
{
    static constexpr std::string_view mark = "b.";
    if (!answer.starts_with(mark))
        return false;
    const auto signature = from_hex(answer.substr(mark.size()));
    return signature && key_->verifies(challenge, *signature);
}

}  // namespace instancer
