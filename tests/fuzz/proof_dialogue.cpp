// SPDX-License-Identifier: MIT
// Answers to a proof of work, which clients send, and challenges, which a user hands to `pow solve`.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include <instancer/proof_of_work/proof_dialogue.hpp>

#include "require.hpp"

using namespace instancer;

namespace {

void check_answers(ProofStyle style, std::string_view lines)
{
    const ProofDialogue dialogue(style, ProofDialogue::Seconds(1e-6), "0123456789abcdef");
    const auto right = solve(*parse_challenge(dialogue.challenge()));
    REQUIRE(dialogue.verify(right));
    while (!lines.empty()) {
        const auto line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(line.size() == lines.size() ? line.size() : line.size() + 1);
        const auto answer = dialogue.answer_in(line);
        REQUIRE(answer || style == ProofStyle::kctf);
        if (!answer)
            continue;
        REQUIRE(line.find(*answer) != line.npos);
        static_cast<void>(dialogue.verify(*answer));
        REQUIRE(dialogue.answer_in(std::string(*answer) + "\r") == *answer || dialogue.answer_in(*answer) != *answer);
    }
}

void check_challenge(std::string_view text)
{
    const auto challenge = parse_challenge(text);
    if (!challenge)
        return;
    const auto written = std::visit(
        [](const auto& one) {
            if constexpr (std::is_same_v<std::decay_t<decltype(one)>, SlothChallenge>)
                return one.text(SlothEncoding::redpwn);
            else
                return one.text();
        },
        *challenge);
    const auto again = parse_challenge(written);
    REQUIRE(again);
    REQUIRE(again->index() == challenge->index());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::string_view text(reinterpret_cast<const char*>(bytes) + 1, size - 1);
    check_answers(static_cast<ProofStyle>(bytes[0] % 4), text);
    check_challenge(text);
    return 0;
}
