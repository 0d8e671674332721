// SPDX-License-Identifier: MIT
#include <iostream>

#include <instancer/proof_of_work/proof_challenge.hpp>

#include "config/text.hpp"
#include "proof/proof.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view solve_form = "instancerd pow solve CHALLENGE           prints a right answer\n";
constexpr std::string_view check_form =
    "instancerd pow check CHALLENGE ANSWER    exit 0 when the answer is right, 1 when it is not\n";
constexpr std::string_view forms_of_challenges = R"(
CHALLENGE is what a service with --pow asks: s.DIFFICULTY.START (kctf, redpwn), the line "please give S
such that ..." (hxp), or hashcash -mbBITS RESOURCE. It may be several words, or the whole line of a
question that ends with it.
)";

std::string help(bool checks)
{
    auto text = "Usage: " + std::string(checks ? check_form : solve_form) + "       " +
                std::string(checks ? solve_form : check_form) + std::string(forms_of_challenges) + "\n";
    const auto entry = proof_commands()[checks ? 1 : 0];
    for (const auto example : entry.examples)
        text += "  instancerd " + std::string(example) + "\n";
    return text;
}

constexpr std::string_view which = "; instancerd pow --help shows the forms";

Command misuse(const std::string& text) { return Command(Command::Kind::misuse, text + std::string(which)); }

/// The challenge that these words make up, or that is the last of them, as in the command of a question.
Parsed<ProofChallenge> challenge_of(const std::vector<std::string>& words)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : " ") + word;
    if (text.empty())
        return wrong("which challenge?");
    auto challenge = parse_challenge(text);
    if (!challenge)
        challenge = parse_challenge(text.substr(text.find_last_of(' ') + 1));
    if (!challenge)
        return wrong(in_quotes(text) + " is no challenge");
    return std::move(*challenge);
}

Command solving(const ProofChallenge& challenge)
{
    Command command(Command::Kind::act);
    command.act = [challenge] {
        std::cout << solve(challenge) << std::endl;
        return 0;
    };
    return command;
}

Command checking(const ProofChallenge& challenge, const std::string& answer)
{
    Command command(Command::Kind::act);
    command.act = [challenge, answer] {
        const bool right = verify(challenge, answer);
        std::cout << (right ? "right" : "wrong") << std::endl;
        return right ? 0 : 1;
    };
    return command;
}

}  // namespace

std::vector<CommandEntry> proof_commands()
{
    return {{.words = "pow solve",
             .forms = {"CHALLENGE"},
             .brief = "print the answer to a proof of work",
             .purpose = "Solves the challenge of a proof of work, of any style.",
             .examples = {"pow solve s.AAAB.AQIDBAUGBwgJCgsMDQ4P", "pow solve hashcash -mb20 2f9c1ab0"},
             .scope = CommandEntry::no_options},
            {.words = "pow check",
             .forms = {"CHALLENGE ANSWER"},
             .brief = "exit 0 when it is right, 1 when not",
             .purpose = "Says whether an answer to the challenge of a proof of work is right.",
             .examples = {"pow check s.AAAB.AQIDBAUGBwgJCgsMDQ4P \"$answer\"",
                          "pow check hashcash -mb20 2f9c1ab0 \"$stamp\""},
             .scope = CommandEntry::no_options}};
}

Command parse_proof_command(const std::vector<std::string>& words)
{
    const bool checks = !words.empty() && words[0] == "check";
    for (const auto& word : words)
        if (word == "--help" || word == "-h")
            return Command(Command::Kind::print, help(checks));
    if (!checks && (words.empty() || words[0] != "solve"))
        return misuse("what about proofs of work?");
    if (checks && words.size() < 3)
        return misuse("which answer to which challenge?");
    const auto challenge = challenge_of({words.begin() + 1, words.end() - (checks ? 1 : 0)});
    if (!challenge)
        return misuse(challenge.error());
    return checks ? checking(*challenge, words.back()) : solving(*challenge);
}

}  // namespace instancer::daemon
