// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <instancer/detail/crypto/hex.hpp>
#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/hmac.hpp>
#include <instancer/identity.hpp>
#include <instancer/result.hpp>

namespace instancer {

/// Whose flag it is.
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
    static Result<FlagTemplate> parse(std::string_view text)
    {
        FlagTemplate result;
        while (!text.empty()) {
            const auto end = text.find('}');
            const auto open = text.rfind('{', end);
            if (end == text.npos || open == text.npos) {
                const auto size = end == text.npos ? text.size() : end + 1;
                result.add_text(text.substr(0, size));
                text.remove_prefix(size);
                continue;
            }
            result.add_text(text.substr(0, open));
            const auto place = text.substr(open, end + 1 - open);
            if (auto added = result.add_place(place); !added)
                return fail(std::move(added.error()));
            text.remove_prefix(end + 1);
        }
        return result;
    }

    /// Whether a key is needed.
    bool needs_key() const { return has(Kind::hmac); }
    /// Whether nobody can calculate the flag again.
    bool is_random() const { return has(Kind::random); }
    /// Whether every flag is the same.
    bool is_constant() const
    {
        return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.kind == Kind::text; });
    }

    /// The flag of `identity`; with `{random:N}` another one each time.
    std::string flag(std::string_view key, std::string_view service, const Identity& identity, FlagScope scope) const
    {
        auto message = std::string(service) + "\n" + identity.owner().hex();
        if (scope == FlagScope::instance)
            message += "\n" + identity.id().hex();
        std::string flag;
        for (const auto& part : parts_)
            switch (part.kind) {
            case Kind::text: flag += part.text; break;
            case Kind::hmac: flag += hmac_sha256(key, message).substr(0, part.digits); break;
            case Kind::random: flag += detail::to_hex(detail::random_bytes(part.digits)).substr(0, part.digits); break;
            case Kind::owner: flag += identity.owner().hex(); break;
            }
        return flag;
    }

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

    void add_text(std::string_view text)
    {
        if (text.empty())
            return;
        if (parts_.empty() || parts_.back().kind != Kind::text)
            parts_.push_back({Kind::text, {}, 0});
        parts_.back().text += text;
    }

    /// `place` stands in braces.
    Result<void> add_place(std::string_view place)
    {
        const auto word = place.substr(1, place.size() - 2);
        const auto colon = word.find(':');
        const auto name = word.substr(0, colon);
        const bool sized = colon != word.npos;
        if (word == "owner" || word == "hmac") {
            parts_.push_back({word == "owner" ? Kind::owner : Kind::hmac, {}, hmac_digits});
        } else if (name == "hmac" || name == "random") {
            const auto most = name == "hmac" ? hmac_digits : most_random;
            const auto digits = sized ? number(word.substr(colon + 1)) : 0;
            if (digits == 0 || digits > most)
                return fail(Errc::bad_request, std::string(place) + ": give it a number of digits from 1 to " +
                                                   std::to_string(most) + ", as in {" + std::string(name) + ":32}");
            parts_.push_back({name == "hmac" ? Kind::hmac : Kind::random, {}, digits});
        } else {
            add_text(place);
        }
        return {};
    }

    static std::size_t number(std::string_view digits)
    {
        std::size_t value = 0;
        const auto end = digits.data() + digits.size();
        const auto [rest, error] = std::from_chars(digits.data(), end, value);
        return error == std::errc() && rest == end ? value : 0;
    }

    std::vector<Part> parts_;
};

}  // namespace instancer
