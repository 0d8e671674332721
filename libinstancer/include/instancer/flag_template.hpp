// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/hmac.hpp>
#include <instancer/identity.hpp>
#include <instancer/result.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// The owner of the flag.
enum class FlagScope {
    owner,     ///< One for each owner and service.
    instance,  ///< One for each identity, which is an owner's identifier.
};

/// A text that becomes a flag of its own for each owner: `FLAG{{hmac:32}}`, say.
///
/// In it stand `{hmac}` and `{hmac:N}` for the first 64 or N hexadecimal digits of HMAC-SHA-256(key, message),
/// `{random:N}` for N random digits, and `{owner}` for the owner's hash. All else stands for itself, other braces too.
/// The message is the service's name, a newline and the owner's hash; for a flag of an instance also a newline and the
/// identity's hash. `Identity` says how these are calculated, so that whoever has the key can tell whose a flag is.
class FlagTemplate {
public:
    /// Reads a template.
    ///
    /// Errors: Errc::bad_request, with the place.
    static Result<FlagTemplate> parse(std::string_view text);

    /// Whether a key is needed.
    bool needs_key() const { return has(Kind::hmac); }
    /// Whether nobody can calculate the flag again.
    bool is_random() const { return has(Kind::random); }
    /// How many digits of a flag nobody can calculate without the key.
    std::size_t secret_digits() const
    {
        std::size_t count = 0;
        for (const auto& part : parts_)
            if (part.kind == Kind::hmac || part.kind == Kind::random)
                count += part.digits;
        return count;
    }
    /// Whether every flag is the same.
    bool is_constant() const
    {
        return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.kind == Kind::text; });
    }

    /// The flag of `identity`; with `{random:N}` another one each time.
    std::string flag(std::string_view key, std::string_view service, const Identity& identity, FlagScope scope) const;

private:
    enum class Kind { text, hmac, random, owner };

    struct Part {
        Kind kind;
        std::string text;
        std::size_t digits;
    };

    static constexpr std::size_t hmac_digits = 64;
    static constexpr std::size_t most_random = 128;

    FlagTemplate() = default;

    bool has(Kind kind) const
    {
        return std::any_of(parts_.begin(), parts_.end(), [kind](const Part& part) { return part.kind == kind; });
    }

    void add_text(std::string_view text);

    /// `place` stands in braces.
    Result<void> add_place(std::string_view place);

    static std::size_t number(std::string_view digits);

    std::vector<Part> parts_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/flag_template.hpp>
#endif
