// SPDX-License-Identifier: MIT
// Tokens that somebody else has signed: those of the standards, and those that somebody has tampered with.
#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/signed_token.hpp>
#include <instancer/test/fake_stream.hpp>

#include "async_test.hpp"
#include "authentication/signed/key_file.hpp"
#include "signed_tokens.hpp"
#include "temporary_directory.hpp"

using namespace instancer;
using namespace signed_tokens;

namespace {

constexpr long long now = 1'700'000'000;

const std::string secret(32, 's');
const std::string good = R"({"sub":"red","aud":"shell","exp":1700000001})";

SigningKey public_one() { return SigningKey::from_pem(public_pem).value(); }
SigningKey shared_one() { return SigningKey::shared_secret(secret).value(); }

SignedTokenVerifier verifier(std::vector<SigningKey> keys)
{
    return SignedTokenVerifier("shell", std::move(keys),
                               [] { return std::chrono::system_clock::time_point(std::chrono::seconds(now)); });
}

/// The owner, or why the token is rejected: in a text that holds nothing of it.
std::string judged(std::string_view token, std::vector<SigningKey> keys)
{
    const auto owner = verifier(std::move(keys)).owner_of(token);
    if (owner)
        return *owner;
    CHECK(owner.error() == Errc::rejected);
    CHECK((token.size() < 8 || owner.error().text().find(token.substr(0, 8)) == std::string::npos));
    return "rejected: " + owner.error().text();
}

/// Of a token with these claims, signed by the secret.
std::string judged_claims(const std::string& claims)
{
    const auto by_hmac = judged(web_token(R"({"alg":"HS256"})", claims, by_secret(secret)), {shared_one()});
    CHECK(judged(web_token(R"({"alg":"EdDSA"})", claims, by_ed25519), {public_one()}) == by_hmac);
    return by_hmac;
}

std::string judged_header(const std::string& header)
{
    return judged(web_token(header, good, by_secret(secret)), {shared_one()});
}

const std::string no_token = "rejected: no signed token", no_key = "rejected: a token whose signature no key verifies",
                  misfit = "rejected: a token whose header does not fit its key",
                  no_claims = "rejected: a token without claims";

}  // namespace

TEST_CASE("signed tokens: the example of RFC 7515 for HS256 is genuine, has expired, and has no other day")
{
    const auto key = detail::base64url_decode(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    const std::string token =
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    CHECK(judged(token, {SigningKey::shared_secret(*key).value()}) == "rejected: an expired token");
    CHECK(judged(token, {shared_one()}) == no_key);
}

TEST_CASE("signed tokens: the example of RFC 8037 for Ed25519 is genuine, and holds no claims")
{
    const std::string token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                              "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    CHECK(judged(token, {public_one()}) == no_claims);
    auto other = token;
    other[25] = other[25] == 'b' ? 'c' : 'b';
    CHECK(judged(other, {public_one()}) == no_key);
}

TEST_CASE("signed tokens: an id that libsodium has signed, in hex of either case")
{
    const std::string vector =
        "76b71f310c4ead61cf111ace688ca8e07d47da56aad3d6118320baebd5b6ba93ae0966c0442eb1329686690585464a"
        "7858057c25cd2a32798d345f21c8f6880d3432";
    CHECK(vector == signed_id("42"));
    CHECK(judged(vector, {shared_one(), public_one()}) == "42");
    std::string upper = vector;
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](char c) { return static_cast<char>(std::toupper(c)); });
    CHECK(judged(upper, {public_one()}) == "42");
    CHECK(judged(vector, {shared_one()}) == no_key);
    auto other = vector;
    other.back() = '3';
    CHECK(judged(other, {public_one()}) == no_key);
    CHECK(judged(vector.substr(0, 128), {public_one()}) == no_token);
    CHECK(judged(vector.substr(0, 60), {public_one()}) == no_token);
    CHECK(judged(signed_id(std::string(65, 'x')), {public_one()}) == no_token);
}

TEST_CASE("signed tokens: the signature of a web token is not one of an id")
{
    const auto text = base64url(R"({"alg":"EdDSA"})") + "." + base64url(R"({"sub":"red","aud":"else","exp":1})");
    CHECK(judged(signed_id(text), {public_one()}) == no_token);
    const auto id = signed_id("42");
    CHECK(judged(base64url("{}") + "." + base64url("42") + "." + base64url(by_ed25519("42")), {public_one()}) ==
          no_key);
}

TEST_CASE("signed tokens: owner, service and time are those of the claims")
{
    CHECK(judged_claims(good) == "red");
    CHECK(judged_claims(R"({"sub":"red","aud":["web","shell"],"exp":1700000000.5,"nbf":1700000000,"x":{"y":[1]}})") ==
          "red");
    CHECK(judged_claims(R"({"sub":"red","aud":"web","exp":1700000001})") ==
          "rejected: a token whose aud is not this service");
    for (const auto* claims : {R"({"sub":"red","exp":1700000001})", R"({"sub":"red","aud":["shel"],"exp":1700000001})",
                               R"({"sub":"red","aud":{"shell":"shell"},"exp":1700000001})",
                               R"({"sub":"red","aud":[["shell"]],"exp":1700000001})"})
        CHECK(judged_claims(claims) == "rejected: a token whose aud is not this service");
    for (const auto* claims : {R"({"aud":"shell","exp":1700000001})", R"({"sub":"","aud":"shell","exp":1700000001})",
                               R"({"sub":7,"aud":"shell","exp":1700000001})"})
        CHECK(judged_claims(claims) == "rejected: a token without sub");
    for (const auto* begin : {"1700000001", "\"1\"", "null"})
        CHECK(judged_claims(R"({"sub":"red","aud":"shell","exp":1700000001,"nbf":)" + std::string(begin) + "}") ==
              "rejected: a token that is not valid yet");
}

TEST_CASE("signed tokens: an expiry of any size is either past or to come, and one that is no number is none")
{
    const auto until = [](const std::string& time) {
        return judged_claims(R"({"sub":"red","aud":"shell","exp":)" + time + "}");
    };
    for (const auto* time : {"1700000000", "1699999999.999", "0", "-1", "-9223372036854775808", "-1e300"})
        CHECK(until(time) == "rejected: an expired token");
    for (const auto* time : {"9223372036854775807", "18446744073709551615", "18446744073709551616", "1e300"})
        CHECK(until(time) == "red");
    for (const auto* time : {"\"1700000001\"", "null", "true", "[1700000001]"})
        CHECK(until(time) == "rejected: a token without exp");
    CHECK(until("1e999") == no_claims);
    CHECK(judged_claims(R"({"sub":"red","aud":"shell"})") == "rejected: a token without exp");
}

TEST_CASE("signed tokens: the key fixes the algorithm, and no header does")
{
    CHECK(judged_header(R"({"alg":"HS256","typ":"JWT","kid":"any"})") == "red");
    for (const auto* header : {R"({"alg":"none"})", R"({"alg":"EdDSA"})", R"({"alg":"HS512"})", R"({"alg":"hs256"})",
                               "{}", R"({"alg":["HS256"]})", R"({"alg":"HS256","crit":["b64"],"b64":false})",
                               R"({"alg":"none","alg":"HS256"})", "[]", "HS256", ""})
        CHECK(judged_header(header) == misfit);
    // What is not signed at all, and what is signed by what everybody knows.
    CHECK(judged(base64url(R"({"alg":"none"})") + "." + base64url(good) + ".", {shared_one(), public_one()}) == no_key);
    for (const auto* known : {&public_pem, &public_key})
        CHECK(judged(web_token(R"({"alg":"HS256"})", good, by_secret(std::string(*known))), {public_one()}) == no_key);
    CHECK(judged(web_token(R"({"alg":"HS256"})", good, by_secret(*from_hex(public_key))), {public_one()}) == no_key);
    CHECK(judged(web_token(R"({"alg":"HS256"})", good, by_ed25519), {public_one(), shared_one()}) == misfit);
    CHECK(judged(web_token(R"({"alg":"EdDSA"})", good, by_secret(secret)), {public_one(), shared_one()}) == misfit);
}

TEST_CASE("signed tokens: what is genuine, and yet no token")
{
    CHECK(judged_claims(R"({"sub":"red","sub":"blue","aud":"shell","exp":1700000001})") == no_claims);
    CHECK(judged_claims(R"({"sub":"red","aud":"shell","exp":1,"exp":1700000001})") == no_claims);
    CHECK(judged_claims(R"({"sub":"red","aud":"shell","exp":1700000001,"x":{"y":1,"y":2}})") == "red");
    CHECK(judged_claims("{\"sub\":\"r\xff\",\"aud\":\"shell\",\"exp\":1700000001}") == no_claims);
    CHECK(judged_claims(good + "x") == no_claims);
    CHECK(judged_claims("[" + good + "]") == no_claims);
    const std::string deep(1000, '[');
    CHECK(judged_claims(R"({"x":)" + deep + std::string(1000, ']') +
                        R"(,"sub":"red","aud":"shell","exp":1700000001})") == "red");
    CHECK(judged_claims(R"({"x":)" + deep) == no_claims);
}

TEST_CASE("signed tokens: what is no token at all")
{
    const auto token = web_token(R"({"alg":"HS256"})", good, by_secret(secret));
    CHECK(judged(token, {shared_one()}) == "red");
    for (const auto& wrong : {std::string(), std::string("."), std::string(".."), std::string("a.b"), token + ".",
                              token + "=", token.substr(0, token.rfind('.')), token + "." + token, "Bearer " + token})
        CHECK(judged(wrong, {shared_one()}).find("rejected: ") == 0);
    const std::string huge =
        web_token(R"({"alg":"HS256"})", good.substr(0, good.size() - 1) + R"(,"x":")" + std::string(4096, 'x') + "\"}",
                  by_secret(secret));
    CHECK(judged(huge, {shared_one()}) == "rejected: a token of more than 4096 bytes");
    CHECK(judged(token, {}) == no_key);
}

TEST_CASE("signed tokens: keys can be replaced, and any of several may have signed")
{
    auto one = verifier({SigningKey::shared_secret(std::string(32, 'o')).value(), shared_one()});
    const auto token = web_token(R"({"alg":"HS256"})", good, by_secret(secret));
    CHECK(one.owner_of(token).value() == "red");
    one.set_keys({public_one()});
    CHECK_FALSE(one.owner_of(token));
}

TEST_CASE("signed tokens: sent as the first line, without a word of ours, or typed with an identifier")
{
    async_test::Loop loop;
    const auto admit = [&](const std::string& prompt, const std::string& sent, const std::string& told) {
        auto judge = std::make_unique<SignedTokenVerifier>("shell", std::vector{shared_one()}, [] {
            return std::chrono::system_clock::time_point(std::chrono::seconds(now));
        });
        PromptAuthenticator authenticator(std::move(judge), prompt, SignedTokenVerifier::max_token);
        test::FakePeer peer(loop.executor());
        peer.send(sent);
        auto stream = peer.take_stream();
        auto admission = loop.run(authenticator.authenticate(stream, ClientInfo()));
        CHECK(peer.received() == told);
        CHECK(peer.unread() + stream.unread_size() == sent.size() - sent.find('\n') - 1);
        return admission;
    };
    const auto token = web_token(R"({"alg":"HS256"})", good, by_secret(secret));
    const auto silent = admit("", token + "\nGET / HTTP/1.0\r\n", "");
    REQUIRE(silent);
    CHECK(silent->owner() == "red");
    CHECK(silent->on_refusal(Error(Errc::full)) == "");
    CHECK(admit("", "x\n", "").error() == Errc::rejected);
    const auto second = admit("token: ", token + " two\n", "token: ");
    REQUIRE(second);
    CHECK(second->owner() == "red");
    CHECK(second->identifier() == "two");
    CHECK(admit("token: ", "x two\n", "token: unknown token\n").error() == Errc::rejected);
}

namespace {

std::string problem_with(const std::string& text)
{
    const auto key = daemon::parse_signing_key(text, "k");
    if (!key)
        return key.error();
    return key->algorithm() == SigningKey::Algorithm::ed25519 ? "public" : "shared";
}

}  // namespace

TEST_CASE("files of keys: a public key in PEM, a secret as text or in hex")
{
    CHECK(problem_with(std::string(public_pem)) == "public");
    CHECK(problem_with("# of the platform\n" + std::string(public_pem)) == "public");
    const auto text = daemon::parse_signing_key(secret + "\n", "k");
    const auto digits = daemon::parse_signing_key("hex:" + to_hex(secret) + "\r\n", "k");
    for (const auto* key : {&text, &digits}) {
        REQUIRE(*key);
        CHECK((**key).verifies("message", by_secret(secret)("message")));
    }
}

TEST_CASE("files of keys: several keys in one are refused, and the file is named")
{
    CHECK(problem_with(std::string(public_pem) + std::string(public_pem)) ==
          "k: holds several keys, of which only one would count; write each into a file of its own, and name them all");
    for (const auto& text : {secret + "\n" + secret, "hex:" + to_hex(secret) + "\nhex:" + to_hex(secret) + "\n"})
        CHECK(problem_with(text) == "k: holds several lines; write one secret into it, as hex: and digits if it holds "
                                    "line ends, and name a file for each");
}

TEST_CASE("files of keys: what everybody can know is no secret, and what is wrong is named without any part of it")
{
    CHECK(problem_with(std::string(31, 's') + "\n") ==
          "k: holds a shared secret of 31 bytes, which can be guessed; use 32 or more");
    CHECK(problem_with("\n") == "k: holds a shared secret of 0 bytes, which can be guessed; use 32 or more");
    CHECK(problem_with("hex:" + std::string(62, '0')).find("k: holds a shared secret of 31 bytes") == 0);
    CHECK(problem_with("hex:" + std::string(63, '0')).find("k: after hex: stand other characters") == 0);
    CHECK(problem_with(std::string(public_key) + "\n").find("k: holds digits without hex: before them") == 0);
    for (const std::string beginning : {"ssh-ed25519 AAAA", "{\"kty\":\"OKP\",", "MCowBQYDK2VwAyEA"})
        CHECK(problem_with(beginning + std::string(40, 'x')).find("k: looks like a public key; write it as PEM") == 0);
    CHECK(
        problem_with("-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n").find("k: holds a private key") ==
        0);
    CHECK(problem_with("-----BEGIN PUBLIC KEY-----\n"
                       "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAERUykMlO34yEqyVOZ1dByE1TNkSxD\n"
                       "PZjyN43l232crw4u7//QpmQpPNzKbsAocLYE7KsdoIFGMxOXIPxMTjQ0rA==\n"
                       "-----END PUBLIC KEY-----\n")
              .find("k: holds no public key of Ed25519") == 0);
    const daemon_test::TemporaryDirectory directory;
    CHECK(daemon::load_signing_keys({directory.file("a", secret), directory.path("b")}).error() ==
          "cannot read " + directory.path("b") + ": No such file or directory");
}
