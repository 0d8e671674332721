// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <instancer/proof_of_work/hashcash_challenge.hpp>
#include <instancer/proof_of_work/sloth_challenge.hpp>
#include <instancer/proof_of_work/suffix_challenge.hpp>

namespace instancer {

/// A challenge of any kind.
using ProofChallenge = std::variant<SlothChallenge, SuffixChallenge, HashcashChallenge>;

/// The challenge that `text` is or holds: `s.DIFFICULTY.START`, hxp's line, or `hashcash -mbBITS RESOURCE`.
inline std::optional<ProofChallenge> parse_challenge(std::string_view text)
{
    if (const auto sloth = SlothChallenge::parse(text))
        return *sloth;
    if (auto suffix = SuffixChallenge::parse(text))
        return std::move(*suffix);
    if (auto hashcash = HashcashChallenge::parse(text))
        return std::move(*hashcash);
    return std::nullopt;
}

/// Whether `answer` is right.
///
/// Time: that of the challenge's own `verify`.
inline bool verify(const ProofChallenge& challenge, std::string_view answer)
{
    return std::visit([answer](const auto& one) { return one.verify(answer); }, challenge);
}

/// A right answer.
///
/// Time: that of the challenge's own `solve`.
inline std::string solve(const ProofChallenge& challenge)
{
    return std::visit([](const auto& one) { return one.solve(); }, challenge);
}

}  // namespace instancer
