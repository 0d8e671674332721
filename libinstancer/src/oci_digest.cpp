// SPDX-License-Identifier: MIT
#include "oci_digest.hpp"

#include <algorithm>
#include <new>

#include <instancer/text/hex.hpp>

namespace instancer::detail::inline oci {
namespace {

constexpr std::string_view algorithm = "sha256:";

}  // namespace

OciDigest::OciDigest() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free)
{
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
        throw std::bad_alloc();
}

void OciDigest::update(std::string_view bytes) { EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()); }

std::string OciDigest::finish()
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_DigestFinal_ex(context_.get(), bytes, &size);
    return std::string(algorithm) + to_hex(std::string_view(reinterpret_cast<const char*>(bytes), size));
}

std::string OciDigest::of(std::string_view bytes)
{
    OciDigest digest;
    digest.update(bytes);
    return digest.finish();
}

bool OciDigest::is_one(std::string_view text)
{
    const auto is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
    return text.starts_with(algorithm) && text.size() == algorithm.size() + 64 &&
           std::all_of(text.begin() + algorithm.size(), text.end(), is_digit);
}

}  // namespace instancer::detail::inline oci
