// SPDX-License-Identifier: MIT
// Signed tokens: without the key nobody is admitted; with it whoever the claims name, if time and service are right;
// and why somebody is not says nothing of the token.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include <instancer/authenticator/signed_token.hpp>
#include <instancer/detail/crypto/base64.hpp>
#include <instancer/hmac.hpp>
#include <instancer/text/hex.hpp>

#include "require.hpp"

using namespace instancer;

namespace {

constexpr long long now = 1'700'000'000;
const std::string secret(32, 's');

SignedTokenVerifier verifier()
{
    return SignedTokenVerifier(
        "shell", {SigningKey::shared_secret(secret).value(), SigningKey::ed25519(std::string(32, 'k')).value()},
        [] { return std::chrono::system_clock::time_point(std::chrono::seconds(now)); });
}

std::string base64url(std::string_view bytes)
{
    auto text = detail::base64_encode(bytes);
    for (auto& c : text)
        c = c == '+' ? '-' : c == '/' ? '_' : c;
    return text.substr(0, text.find('='));
}

std::string signed_by_us(std::string_view header, std::string_view claims)
{
    const auto text = base64url(header) + "." + base64url(claims);
    return text + "." + base64url(from_hex(hmac_sha256(secret, text)).value());
}

void check_error(const Error& error)
{
    REQUIRE(error == Errc::rejected);
    REQUIRE(!error.text().empty() && error.text().size() < 60);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    static const auto judge = verifier();
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    const auto unsigned_one = judge.owner_of(text);
    REQUIRE(!unsigned_one);
    check_error(unsigned_one.error());

    for (const auto header : {std::string_view(R"({"alg":"HS256"})"), text.substr(0, text.find('\n'))}) {
        const auto owner = judge.owner_of(signed_by_us(header, text));
        if (!owner) {
            check_error(owner.error());
            continue;
        }
        const auto claims = nlohmann::json::parse(text);
        REQUIRE(claims.at("sub") == *owner);
        REQUIRE(!owner->empty());
        REQUIRE(claims.at("exp").get<double>() > now);
    }
    return 0;
}
