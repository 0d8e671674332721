// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include <nlohmann/json.hpp>

#include <instancer/authenticator/signed_token.hpp>
#include <instancer/detail/crypto/base64.hpp>
#include <instancer/text/hex.hpp>
#include <instancer/text/split.hpp>

namespace instancer {
namespace {

using Json = nlohmann::json;

tl::unexpected<Error> rejected(std::string why) { return fail(Errc::rejected, std::move(why)); }

/// An object in which no name is there twice: readers that disagree about which one counts can be played off against
/// each other.
std::optional<Json> parse_object(std::string_view text)
{
    std::set<std::string> names;
    bool unique = true;
    const auto note_name = [&](int depth, Json::parse_event_t event, const Json& value) {
        if (event == Json::parse_event_t::key && depth == 1)
            unique = names.insert(value.get<std::string>()).second && unique;
        return true;
    };
    auto object = Json::parse(text, note_name, false);
    return object.is_object() && unique ? std::optional(std::move(object)) : std::nullopt;
}

/// Seconds since 1970, if the claim is a number; a fraction is allowed, and so is a time beyond any calendar.
std::optional<double> time_claim(const Json& claims, const char* name)
{
    const auto claim = claims.find(name);
    return claim != claims.end() && claim->is_number() ? std::optional(claim->get<double>()) : std::nullopt;
}

/// `aud` is a text, or a list of texts.
bool is_meant_for(const Json& claims, const std::string& audience)
{
    const auto claim = claims.find("aud");
    if (claim == claims.end())
        return false;
    return *claim == audience ||
           (claim->is_array() && std::find(claim->begin(), claim->end(), audience) != claim->end());
}

bool names_algorithm(const Json& header, SigningKey::Algorithm algorithm)
{
    const auto name = header.find("alg");
    if (name == header.end())
        return false;
    return algorithm == SigningKey::Algorithm::hmac_sha256 ? *name == "HS256" : *name == "EdDSA" || *name == "Ed25519";
}

Result<std::string> owner_by_claims(const Json& claims, const std::string& audience, double now)
{
    const auto expiry = time_claim(claims, "exp");
    if (!expiry)
        return rejected("a token without exp");
    if (!(now < *expiry))
        return rejected("an expired token");
    if (claims.contains("nbf")) {
        const auto begin = time_claim(claims, "nbf");
        if (!begin || now < *begin)
            return rejected("a token that is not valid yet");
    }
    if (!is_meant_for(claims, audience))
        return rejected("a token whose aud is not this service");
    const auto owner = claims.find("sub");
    if (owner == claims.end() || !owner->is_string() || owner->get_ref<const std::string&>().empty())
        return rejected("a token without sub");
    return owner->get<std::string>();
}

const SigningKey* find_signer(const std::vector<SigningKey>& keys, std::string_view message, std::string_view signature)
{
    const auto found =
        std::find_if(keys.begin(), keys.end(), [&](const auto& key) { return key.verifies(message, signature); });
    return found == keys.end() ? nullptr : &*found;
}

/// Only what is genuine is read as JSON at all.
Result<std::string> owner_of_web_token(std::string_view token, const std::vector<SigningKey>& keys,
                                       const std::string& audience, double now)
{
    const auto parts = split(token, '.');
    if (parts.size() != 3)
        return rejected("no signed token");
    const auto header_text = detail::base64url_decode(parts[0]), claims_text = detail::base64url_decode(parts[1]),
               signature = detail::base64url_decode(parts[2]);
    if (!header_text || !claims_text || !signature)
        return rejected("no signed token");
    const auto* signer = find_signer(keys, token.substr(0, token.rfind('.')), *signature);
    if (!signer)
        return rejected("a token whose signature no key verifies");
    const auto header = parse_object(*header_text);
    // What crit lists changes the meaning of a token; none of it is known here (RFC 7515, section 4.1.11).
    if (!header || !names_algorithm(*header, signer->algorithm()) || header->contains("crit"))
        return rejected("a token whose header does not fit its key");
    const auto claims = parse_object(*claims_text);
    return claims ? owner_by_claims(*claims, audience, now) : rejected("a token without claims");
}

/// Its characters are those of no web token, of which else the signature would be good here, and for ever.
bool is_player_id(std::string_view text)
{
    constexpr std::size_t longest = 64;
    const auto fits = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    };
    return !text.empty() && text.size() <= longest && std::all_of(text.begin(), text.end(), fits);
}

/// As libsodium joins them: a signature, and the message that it is of.
Result<std::string> owner_of_signed_id(std::string_view joined, const std::vector<SigningKey>& keys)
{
    constexpr std::size_t signature_size = 64;
    const auto id = joined.substr(std::min(signature_size, joined.size()));
    if (!is_player_id(id))
        return rejected("no signed token");
    const auto* signer = find_signer(keys, id, joined.substr(0, signature_size));
    if (!signer || signer->algorithm() != SigningKey::Algorithm::ed25519)
        return rejected("a token whose signature no key verifies");
    return std::string(id);
}

}  // namespace

SignedTokenVerifier::SignedTokenVerifier(std::string audience, std::vector<SigningKey> keys, Clock clock)
    : audience_(std::move(audience)), clock_(std::move(clock))
{
    set_keys(std::move(keys));
}

void SignedTokenVerifier::set_keys(std::vector<SigningKey> keys)
{
    auto fresh = std::make_shared<const std::vector<SigningKey>>(std::move(keys));
    const std::lock_guard lock(mutex_);
    keys_.swap(fresh);
}

SignedTokenVerifier::Keys SignedTokenVerifier::keys() const
{
    const std::lock_guard lock(mutex_);
    return keys_;
}

Result<std::string> SignedTokenVerifier::owner_of(std::string_view token) const
{
    if (token.size() > max_token)
        return rejected("a token of more than " + std::to_string(max_token) + " bytes");
    const auto all = keys();
    if (const auto joined = from_hex(token))
        return owner_of_signed_id(*joined, *all);
    const std::chrono::duration<double> now = clock_().time_since_epoch();
    return owner_of_web_token(token, *all, audience_, now.count());
}

asio::awaitable<Result<Admission>> SignedTokenVerifier::do_verify(std::string line, const ClientInfo&)
{
    const auto owner = [this](std::string_view token) { return owner_of(token); };
    auto admission = admit_typed(line, owner);
    co_return admission;
}

}  // namespace instancer
