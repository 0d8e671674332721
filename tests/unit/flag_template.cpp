// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <instancer/flag_template.hpp>

namespace {

using namespace instancer;

const Identity team_red("heap", "red", "1"), team_red_2("heap", "red", "2"), team_blue("heap", "blue", "1");

std::string flag(std::string_view text, const Identity& of = team_red, FlagScope scope = FlagScope::owner)
{
    return FlagTemplate::parse(text).value().flag("key", "heap", of, scope);
}

}  // namespace

TEST_CASE("flag template: what a platform calculates is what the instance gets")
{
    // printf 'heap\n%s' OWNER | openssl dgst -sha256 -hmac key
    CHECK(team_red.owner().hex() == "c12f733b2e78f938cea093f02898a867");
    CHECK(flag("{hmac}") == "268df6c4a0d0363f7195a70076b900c11f62cf73983b2f6a3ebb24d8f6142e66");
    CHECK(flag("{hmac}", team_red, FlagScope::instance) ==
          "e0d4059a94ed79d05f20886f9ffde4860f4ca2c69db878ef00bde7c8b48f89fc");
}

TEST_CASE("flag template: each owner has one flag, each instance by option")
{
    CHECK(flag("FLAG{{hmac:32}}") == "FLAG{" + flag("{hmac}").substr(0, 32) + "}");
    CHECK(flag("{hmac}", team_red) == flag("{hmac}", team_red_2));
    CHECK(flag("{hmac}", team_red) != flag("{hmac}", team_blue));
    CHECK(flag("{hmac}", team_red, FlagScope::instance) != flag("{hmac}", team_red_2, FlagScope::instance));
    CHECK(flag("{owner}") == team_red.owner().hex());
    CHECK(flag("{random:7}").size() == 7);
    CHECK(flag("{random:128}") != flag("{random:128}"));
}

TEST_CASE("flag template: all else stands for itself")
{
    for (const auto* text : {"", "plain", "{", "}", "{}", "}{", "flag{it's_here}", "{{}}", "{HMAC}", "{hmac", "a}b{c"})
        CHECK(flag(text) == text);
    CHECK(flag("{{owner}") == "{" + team_red.owner().hex());
}

TEST_CASE("flag template: what it needs can be asked")
{
    const auto parsed = [](std::string_view text) { return FlagTemplate::parse(text).value(); };
    CHECK(parsed("F{{hmac:8}}").needs_key());
    CHECK_FALSE(parsed("F{{random:8}}").needs_key());
    CHECK(parsed("F{{random:8}}").is_random());
    CHECK(parsed("F{hmac8}").is_constant());
    CHECK_FALSE(parsed("{owner}").is_constant());
}

TEST_CASE("flag template: wrong numbers of digits are told with the remedy")
{
    for (const std::string place :
         {"{hmac:0}", "{hmac:65}", "{hmac:}", "{hmac:x}", "{hmac:-1}", "{random:129}", "{random}"}) {
        const auto parsed = FlagTemplate::parse("FLAG{" + place + "}");
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error() == Errc::bad_request);
        CHECK(parsed.error().message().find(place + ": give it a number of digits from 1 to ") == 0);
    }
}
