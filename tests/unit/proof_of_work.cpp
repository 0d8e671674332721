// SPDX-License-Identifier: MIT
// The vectors come from two independent implementations, each of which verified the other's solutions.
#include <string>
#include <string_view>
#include <utility>

#include <doctest/doctest.h>

#include <instancer/detail/crypto/base64.hpp>
#include <instancer/detail/crypto/mersenne_1279.hpp>
#include <instancer/detail/crypto/sha1.hpp>
#include <instancer/proof_of_work/proof_challenge.hpp>
#include <instancer/text/hex.hpp>

namespace {

using namespace instancer;
using detail::Mersenne1279;

constexpr std::string_view counting_start("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16);

constexpr auto solution_of_1 =
    "s.fHQXnz1oiaRD9x9L8yvqXUYEo7iXoBYsoNGmG+L1Ttxrdv4NG5bZutCQPxLadSpi+OxrXrtMTmFyzyBHZRUzXtCkmleDJ/hltCvY/7AKIB8QtCAf"
    "MwT5ZG56FjvABT4rRtm5qq9jzrkK5eNHrpqJoolTcJUE9HPhFI6k4pxYbSABb4CVzFp/cp/ymZpwz5VJ0X94MEQou0lRrWU5HcS4xg==";
constexpr auto solution_of_133 =
    "s.Ae67OPkg+ACS75GQLjH6wVNvKYHoAuG2uSRn71uL11L3CQyyD94s4JC48ssVEH9qNY5llHIZJmL1zxP7K/pbHPxncRWrnmrjP6M6+A0Sy6tJwJEe"
    "2CKhvdgeVrBQEMv2hVbMwAk6SXPlwkoGFCPPLHmErDGwxLH0vRzcXNZ4llqfxEEZ4tPS2HoK3TbU2Mny8BU+v0B8PVBYy4oU7EK/kg==";

Mersenne1279 number(std::string_view hex) { return Mersenne1279::from_bytes(instancer::from_hex(hex).value()).value(); }

/// 2^1279 - 1 less `less`, which is below 128.
std::string modulus_less(unsigned char less)
{
    std::string bytes(160, '\xff');
    bytes.front() = '\x7f';
    bytes.back() = static_cast<char>(0xff - less);
    return bytes;
}

}  // namespace

TEST_CASE("proof of work: numbers are taken below 2^1279 - 1 alone, and come out as they went in")
{
    CHECK(Mersenne1279::from_bytes("") == Mersenne1279());
    CHECK(Mersenne1279().to_bytes().empty());
    CHECK(Mersenne1279::from_bytes(std::string(300, '\0') + "\x12\x34").value().to_bytes() == "\x12\x34");
    CHECK(Mersenne1279::from_bytes(modulus_less(1)).value().to_bytes() == modulus_less(1));
    CHECK_FALSE(Mersenne1279::from_bytes(modulus_less(0)));
    CHECK_FALSE(Mersenne1279::from_bytes("\x80" + std::string(159, '\0')));
    CHECK_FALSE(Mersenne1279::from_bytes("\x01" + std::string(160, '\0')));
}

TEST_CASE("proof of work: the square of a negative is that of the number, at the edges too")
{
    for (const auto* hex :
         {"01", "02", "ff", "1fffffffffffffff", "2000000000000000", "0123456789abcdef0123456789abcdef"}) {
        auto plain = number(hex);
        auto negative = plain.negated();
        CHECK(negative.negated() == plain);
        CHECK(negative != plain);
        plain.square();
        negative.square();
        CHECK(negative == plain);
    }
    auto zero = Mersenne1279();
    CHECK(zero.negated() == zero);
    zero.square();
    CHECK(zero == Mersenne1279());
    // (p - 1)^2 = 1, and p - 1 is even: its lowest bit makes it p, which is 0.
    auto last = Mersenne1279::from_bytes(modulus_less(1)).value();
    last.square();
    CHECK(last == number("01"));
    last = Mersenne1279::from_bytes(modulus_less(1)).value();
    last.flip_lowest_bit();
    CHECK(last == Mersenne1279());
}

TEST_CASE("proof of work: powers of two wrap around at 2^1279")
{
    // 2 squared n times is 2^(2^n), whose exponent counts modulo 1279.
    auto power = number("02");
    std::size_t exponent = 1;
    for (int i = 0; i < 1000; ++i) {
        power.square();
        exponent = exponent * 2 % 1279;
        std::string expected(160, '\0');
        expected[159 - exponent / 8] = static_cast<char>(1 << exponent % 8);
        REQUIRE(power == Mersenne1279::from_bytes(expected).value());
    }
}

TEST_CASE("proof of work: a square root is one of the number or of its negative")
{
    for (const auto* hex : {"02", "03", "05", "0123456789abcdef0123456789abcdef"}) {
        const auto plain = number(hex);
        auto root = plain;
        root.square_root();
        root.square();
        CHECK((root == plain || root == plain.negated()));
    }
}

TEST_CASE("proof of work: kCTF's and redpwn's challenges and solutions")
{
    const auto one = SlothChallenge::from_start(1, counting_start).value();
    CHECK(one.text(SlothEncoding::kctf) == "s.AAAB.AQIDBAUGBwgJCgsMDQ4P");
    CHECK(one.text(SlothEncoding::redpwn) == "s.AAAAAQ==.AQIDBAUGBwgJCgsMDQ4P");
    CHECK(one.solve() == solution_of_1);
    CHECK(one.verify(solution_of_1));

    const auto many = SlothChallenge::from_start(133, "instancer-vector").value();
    CHECK(many.text(SlothEncoding::kctf) == "s.AACF.AABpbnN0YW5jZXItdmVjdG9y");
    CHECK(many.text(SlothEncoding::redpwn) == "s.AAAAhQ==.aW5zdGFuY2VyLXZlY3Rvcg==");
    CHECK(many.solve() == solution_of_133);
    CHECK(many.verify(solution_of_133));
    CHECK_FALSE(many.verify(solution_of_1));
}

TEST_CASE("proof of work: a challenge is read in either encoding")
{
    for (const auto* text : {"s.AACF.AABpbnN0YW5jZXItdmVjdG9y", "s.AAAAhQ==.aW5zdGFuY2VyLXZlY3Rvcg=="}) {
        const auto challenge = SlothChallenge::parse(text);
        REQUIRE(challenge);
        CHECK(challenge->difficulty() == 133);
        CHECK(challenge->verify(solution_of_133));
    }
    const auto hardest = SlothChallenge::from_start(0xffffffff, "x").value();
    CHECK(SlothChallenge::parse(hardest.text(SlothEncoding::redpwn)).value().difficulty() == 0xffffffff);
    // 24 bits take six bytes in threes.
    CHECK(SlothChallenge::from_start(1u << 23, "x").value().text(SlothEncoding::kctf) == "s.AAAAgAAA.AAB4");
    for (const auto* text : {"", "s", "s.", "s.AAAB", "s.AAAB.", "s.AAAB.AAAA", "s.AAAB.A", "t.AAAB.AAAB",
                             "s.AQAAAAAA.AAAB", "s.AA-B.AAAB", "s..."})
        CHECK_FALSE_MESSAGE(SlothChallenge::parse(text), text);
    CHECK_FALSE(SlothChallenge::from_start(1, std::string(16, '\0')));
}

TEST_CASE("proof of work: what is no solution is refused")
{
    const auto challenge = SlothChallenge::from_start(1, counting_start).value();
    const std::string right = solution_of_1;
    for (const auto& wrong : {std::string(), std::string("s."), std::string("s.AAAB"), right.substr(2), right + "=",
                              right.substr(0, right.size() - 1), "s." + right, right + ".AAAB",
                              "s." + detail::base64_encode(modulus_less(0)), "s." + std::string(4000, 'A')})
        CHECK_FALSE_MESSAGE(challenge.verify(wrong), wrong);
    // Each challenge has a second solution: p less the first.
    const auto bytes = detail::base64_decode(right.substr(2)).value();
    auto second = Mersenne1279::from_bytes(bytes).value();
    second.flip_lowest_bit();
    second = second.negated();
    second.flip_lowest_bit();
    CHECK(challenge.verify("s." + detail::base64_encode(second.to_bytes())));
}

TEST_CASE("proof of work: hxp's challenge")
{
    const SuffixChallenge easy(5, instancer::from_hex("541ca361107f4a2a").value());
    CHECK(easy.text() == "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with 5 zero bits (see "
                         "pow-solver.cpp).");
    CHECK(easy.verify("000000000000003f"));
    CHECK(easy.verify("000000000000003F"));
    CHECK_FALSE(easy.verify("000000000000003e"));
    for (const auto* wrong : {"", "3f", "000000000000003", "00000000000000003f", "xx", "000000000000003f\r"})
        CHECK_FALSE_MESSAGE(easy.verify(wrong), wrong);
    CHECK(SuffixChallenge(16, instancer::from_hex("0001020304050607").value()).verify("000000000001d020"));
}

TEST_CASE("proof of work: a hashcash stamp")
{
    constexpr auto stamp = "1:20:261129:foo::i3MO32RdCPJAjHlG:000000000000005YmR";  // By hashcash 1.22.
    const HashcashChallenge challenge(20, "foo");
    CHECK(challenge.text() == "hashcash -mb20 foo");
    CHECK(challenge.verify(stamp));
    CHECK_FALSE(HashcashChallenge(20, "bar").verify(stamp));
    CHECK_FALSE(HashcashChallenge(21, "foo").verify(stamp));
    for (const auto* wrong :
         {"", "1", "1:20:foo", ":::::::", "1:20:261129:foo::x:0", "1:99999999999999999999:1:foo:::"})
        CHECK_FALSE_MESSAGE(challenge.verify(wrong), wrong);
}

TEST_CASE("proof of work: a challenge of any kind is known by its form, and solved")
{
    for (const std::string text :
         {"s.AAAB.AQIDBAUGBwgJCgsMDQ4P", "s.AAAAAQ==.AQIDBAUGBwgJCgsMDQ4P",
          "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with 5 zero bits (see pow-solver.cpp).",
          "hashcash -mb6 0123456789abcdef"}) {
        const auto challenge = parse_challenge(text);
        REQUIRE_MESSAGE(challenge, text);
        const auto answer = solve(*challenge);
        CHECK_MESSAGE(verify(*challenge, answer), text << ": " << answer);
        CHECK_FALSE(verify(*challenge, "s.AAAB"));
    }
    for (const auto* text : {"", "hashcash", "hashcash -mb foo", "hashcash -mb0 foo", "hashcash -mb65 foo",
                             "hashcash -mb6", "hashcash -mb6 ", "hashcash -mb6 a b", "hashcash -mb6 a:b", "please",
                             "please give S such that sha256(unhex(\"54\" + S)) ends with 5 zero bits",
                             "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with x zero bits",
                             "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with 65 zero bits",
                             "please give S such that sha256(unhex(\"541ca361107f4a2a\" + S)) ends with 5"})
        CHECK_FALSE_MESSAGE(parse_challenge(text), text);
}

TEST_CASE("proof of work: the examples of FIPS 180-4 for SHA-1")
{
    const auto sha1 = [](std::string_view message) {
        detail::Sha1 hash;
        hash.update(message);
        return instancer::to_hex(hash.finish());
    };
    CHECK(sha1("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
    CHECK(sha1("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
          "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
    CHECK(sha1(std::string(1'000'000, 'a')) == "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
}

TEST_CASE("base64: what is written is read, and nothing else")
{
    for (const auto& [bytes, text] : {std::pair<std::string_view, std::string_view>{"", ""},
                                      {"f", "Zg=="},
                                      {"fo", "Zm8="},
                                      {"foo", "Zm9v"},
                                      {"foob", "Zm9vYg=="},
                                      {"fooba", "Zm9vYmE="},
                                      {"foobar", "Zm9vYmFy"}}) {
        CHECK(detail::base64_encode(bytes) == text);
        CHECK(detail::base64_decode(text) == std::string(bytes));
    }
    for (const auto* wrong :
         {"Z", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zm9v\n", "Zm 9", "Zg==Zg==", "Z-=="})
        CHECK_FALSE_MESSAGE(detail::base64_decode(wrong), wrong);
}
