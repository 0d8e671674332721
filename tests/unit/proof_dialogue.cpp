// SPDX-License-Identifier: MIT
#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include <instancer/proof_of_work/proof_dialogue.hpp>

namespace {

using namespace instancer;
using namespace std::chrono_literals;

constexpr auto right =
    "s.fHQXnz1oiaRD9x9L8yvqXUYEo7iXoBYsoNGmG+L1Ttxrdv4NG5bZutCQPxLadSpi+OxrXrtMTmFyzyBHZRUzXtCkmleDJ/hltCvY/7AKIB8QtCAf"
    "MwT5ZG56FjvABT4rRtm5qq9jzrkK5eNHrpqJoolTcJUE9HPhFI6k4pxYbSABb4CVzFp/cp/ymZpwz5VJ0X94MEQou0lRrWU5HcS4xg==";

/// One square root of the number that `right` is the solution for.
ProofDialogue one_root(ProofStyle style)
{
    return {style, 1s / 1337.0, {"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f", 16}};
}

}  // namespace

TEST_CASE("proof dialogue: kCTF's words")
{
    const auto dialogue = one_root(ProofStyle::kctf);
    CHECK(dialogue.question() ==
          "== proof-of-work: enabled ==\nplease solve a pow first\nYou can run the solver with:\n"
          "    python3 <(curl -sSL https://goo.gle/kctf-pow) solve s.AAAB.AQIDBAUGBwgJCgsMDQ4P\n"
          "===================\n\nSolution? ");
    CHECK(dialogue.challenge() == "s.AAAB.AQIDBAUGBwgJCgsMDQ4P");
    CHECK(dialogue.accepted() == "Correct\n");
    CHECK(dialogue.refused() == "Proof-of-work fail\npow fail\n");
    CHECK(ProofDialogue::not_asked(ProofStyle::kctf) == "== proof-of-work: disabled ==\n");
    CHECK_FALSE(dialogue.answer_in(""));
    CHECK_FALSE(dialogue.answer_in(" \r"));
}

TEST_CASE("proof dialogue: redpwn's words")
{
    const auto dialogue = one_root(ProofStyle::redpwn);
    CHECK(dialogue.question() ==
          "proof of work:\ncurl -sSfL https://pwn.red/pow | sh -s s.AAAAAQ==.AQIDBAUGBwgJCgsMDQ4P\nsolution: ");
    CHECK(dialogue.accepted().empty());
    CHECK(dialogue.refused() == "incorrect proof of work\n");
    CHECK(ProofDialogue::not_asked(ProofStyle::redpwn).empty());
    CHECK(dialogue.answer_in("") == "");
}

TEST_CASE("proof dialogue: hxp's and hashcash's words")
{
    const std::string random = "0123456789abcdef";
    const ProofDialogue hxp(ProofStyle::hxp, 1s, random);
    CHECK(hxp.question() ==
          "please give S such that sha256(unhex(\"3031323334353637\" + S)) ends with 23 zero bits (see "
          "pow-solver.cpp).\n");
    CHECK(hxp.refused() == "nope\n");
    const ProofDialogue hashcash(ProofStyle::hashcash, 1s, random);
    CHECK(hashcash.question() == "hashcash -mb23 30313233343536373839616263646566\nhashcash token: ");
    CHECK(hashcash.refused().empty());
}

TEST_CASE("proof dialogue: an answer may come with blanks, an end of line of telnet, and the question pasted before it")
{
    const auto dialogue = one_root(ProofStyle::kctf);
    for (const std::string before : {"", " ", "solution: ", "Solution? ", "solution:", "  Solution? "})
        for (const std::string behind : {"", "\r", "  ", "\r\n"}) {
            const auto line = before + right + behind;
            const auto answer = dialogue.answer_in(line);
            REQUIRE(answer == right);
            CHECK(dialogue.verify(*answer));
        }
    CHECK_FALSE(dialogue.verify("s.AAAB"));
}

TEST_CASE("proof dialogue: the price in each currency")
{
    const auto question = [](ProofStyle style, ProofDialogue::Seconds time) {
        return ProofDialogue(style, time, "0123456789abcdef").question();
    };
    // 13,370 is 0x343a.
    CHECK(question(ProofStyle::kctf, 10s).find(" s.ADQ6.") != std::string::npos);
    // Beyond 2^23 roots kCTF's encoding would need more bytes than solvers take.
    CHECK(question(ProofStyle::kctf, 2h).find("==.") != std::string::npos);
    CHECK(question(ProofStyle::hxp, 250ms).find("ends with 21 zero bits") != std::string::npos);
    CHECK(question(ProofStyle::hxp, 0s).find("ends with 3 zero bits") != std::string::npos);
}

TEST_CASE("proof dialogue: no question is asked twice")
{
    for (const auto style : {ProofStyle::kctf, ProofStyle::redpwn, ProofStyle::hxp, ProofStyle::hashcash})
        CHECK(ProofDialogue::draw(style, 1s).question() != ProofDialogue::draw(style, 1s).question());
}
