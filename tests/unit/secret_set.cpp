// SPDX-License-Identifier: MIT
#include <numeric>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/secret_set.hpp>

using instancer::SecretSet;
using instancer::detail::SipHash;

TEST_CASE("secret set: holds what it was given last, and nothing that is near to it")
{
    SecretSet secrets({"alpha", "beta", std::string("with\0zero", 9)});
    CHECK(secrets.contains("alpha"));
    CHECK(secrets.contains(std::string("with\0zero", 9)));
    for (const auto* other : {"", "alph", "alphb", "Alpha", "alphaa", "with"})
        CHECK_FALSE(secrets.contains(other));
    secrets.replace({"gamma"});
    CHECK(secrets.contains("gamma"));
    CHECK_FALSE(secrets.contains("alpha"));
    secrets.replace({});
    CHECK_FALSE(secrets.contains("gamma"));
}

TEST_CASE("secret set: SipHash-2-4 gives the hashes of its authors' test")
{
    SipHash::Key key;
    std::iota(key.begin(), key.end(), std::uint8_t{0});
    std::string text(15, '\0');
    std::iota(text.begin(), text.end(), '\0');
    const SipHash hash(key);
    CHECK(hash("") == 0x726fdb47dd0e0e31);
    CHECK(hash(text.substr(0, 8)) == 0x93f5f5799a932462);
    CHECK(hash(text) == 0xa129ca6149be45e5);
}

TEST_CASE("secret set: where a secret is looked for is different in every set")
{
    CHECK(SipHash()("secret") != SipHash()("secret"));
}
