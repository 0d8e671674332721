// SPDX-License-Identifier: MIT
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <instancer/identity.hpp>

using instancer::Digest;
using instancer::Identity;

TEST_CASE("identity: the parts cannot run into each other")
{
    std::set<std::string> seen;
    const std::string zero(1, '\0'), size("\0\0\0\0\0\0\0\1", 8);
    for (const std::string& service : {std::string(), std::string("a"), std::string("ab"), zero, size})
        for (const std::string& owner : {std::string(), std::string("b"), std::string("bb"), zero, size + "b"})
            for (const std::string& identifier : {std::string(), std::string("b"), zero + zero, size})
                CHECK(seen.insert(Identity(service, owner, identifier).id().hex()).second);
}

TEST_CASE("identity: the owner is the same under any identifier, and another one in another service")
{
    const Identity one("service", "ann", "1"), two("service", "ann", "2"), other("other", "ann", "1");
    CHECK(one.owner() == two.owner());
    CHECK(one.id() != two.id());
    CHECK(one.owner() != other.owner());
    CHECK(one.owner() != Identity("service", "bob", "1").owner());
    CHECK(one.owner() != Identity("service", "ann", "").id());
}

TEST_CASE("identity: hashes stay what they are, for recovery compares them with those of earlier versions")
{
    const Identity identity("heap", "ann", std::string(2, '\0'));
    CHECK(identity.owner().hex() == "6e74f4b7e16e6568cb4115e4051a3966");
    CHECK(identity.id().hex() == "bc658eacf78e003dd4244f12e3199ee4");
}

TEST_CASE("digest: 32 hexadecimal digits there and back, and nothing else")
{
    const auto digest = Identity("a", "b", "c").id();
    Digest parsed;
    CHECK(Digest::parse(digest.hex(), parsed));
    CHECK(parsed == digest);
    const std::string good(32, 'a');
    CHECK(Digest::parse(good, parsed));
    const std::string zero(1, '\0');
    for (const std::string& bad : {good + "a", good.substr(1), std::string(), good.substr(1) + "g",
                                   good.substr(1) + "A", good.substr(1) + " ", good.substr(1) + zero})
        CHECK_FALSE(Digest::parse(bad, parsed));
}
