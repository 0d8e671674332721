// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <openssl/evp.h>

namespace instancer::detail::inline oci {

/// SHA-256 as images name what they consist of: `sha256:` and 64 digits.
class OciDigest {
public:
    OciDigest();

    void update(std::string_view bytes);
    std::string finish();

    static std::string of(std::string_view bytes);
    /// Whether `text` is a digest, which no path can hide in.
    static bool is_one(std::string_view text);

private:
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

}  // namespace instancer::detail::inline oci
