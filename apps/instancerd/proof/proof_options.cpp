// SPDX-License-Identifier: MIT
#include "options/types.hpp"
#include "proof/proof.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using P = ProofSettings;

constexpr Choice<ProofStyle> styles[] = {{"kctf", ProofStyle::kctf},
                                         {"redpwn", ProofStyle::redpwn},
                                         {"hxp", ProofStyle::hxp},
                                         {"hashcash", ProofStyle::hashcash}};
constexpr Choice<ProofFor> occasions[] = {{"start", ProofFor::start}, {"connect", ProofFor::connect}};

/// A solver's time. Hours of it would take seconds to verify.
template <auto member>
Parsed<void> set_price(Target to, const std::string& text)
{
    const auto price = parse_duration(text);
    if (price && *price > std::chrono::hours(1))
        return wrong("'" + text + "' is longer than 1h, and nobody waits that long; write 10s");
    return set(to.service->proof.*member, price);
}

template <auto member>
constexpr Type price = custom<Shape::duration, set_price<member>, show<&S::proof, member>>.called("DURATION");

constexpr Needs with_proof = {{{{"pow", {}, "10s"}, {"pow-max", {}, "1m"}}}};
constexpr std::string_view group = "Proof of work";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {group, "pow", price<&P::price>, Scope::queued, {},
     "ask clients for a proof of work that takes a solver about this long; 0: none"},
    {group, "pow-max", price<&P::most>, Scope::queued, {},
     "let the price rise to this while starts wait, instances or connections are near their maximum, or a source fails "
     "again and again; 0: it stays. With pow 0 nothing is asked while it is calm"},
    {group, "pow-for", choice<occasions, &S::proof, &P::of>, Scope::instances, {},
     "whom to ask: clients for whom an instance would be started, a warm one included; or all, before anything else. "
     "forward asks all",
     {.needs = with_proof}},
    {group, "pow-style", choice<styles, &S::proof, &P::style>, Scope::queued, {},
     "wording of the question, for the solvers of players: Google's kCTF, redpwn's jail, hxp's ctf-ynetd, hashcash",
     {.needs = with_proof}},
    {group, "pow-timeout", some_duration<&S::proof, &P::timeout>, Scope::queued, {},
     "how long a client may take for its proof, until it is verified",
     {.needs = with_proof}},
    {group, "max-proving", count<&S::proof, &P::max_proving>, Scope::queued, {},
     "clients that may owe a proof at once, until it is verified; 0: no limit. One more resets the oldest of the source "
     "(address, source-prefix, source-prefix4) that has most of them",
     {.needs = with_proof, .zero_is_off = true}},
    {group, "pow-bypass", file<&S::proof, &P::bypass>, Scope::queued, {},
     "public key in PEM, of ECDSA with P-256: health checks that sign the challenge instead need not solve it (kctf)",
     {.needs = with_proof, .reload = true}},
};
// clang-format on

}  // namespace

std::span<const Option> proof_options() { return table; }

}  // namespace instancer::daemon
