// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <instancer/detail/crypto/random_bytes.hpp>
#include <instancer/proof_of_work/proof_challenge.hpp>
#include <instancer/proof_of_work/proof_style.hpp>
#include <instancer/text/hex.hpp>

namespace instancer {

/// One question for a proof of work, and what is said about its answer, without I/O.
///
/// Write `question()`, read a line, and pass it to `answer_in()`; what that finds goes to `verify()`, once; then write
/// `accepted()` or `refused()`.
class ProofDialogue {
public:
    /// The clock's spans of time.
    using Seconds = std::chrono::duration<double>;

    /// Hashes a second that the numbers of bits of hxp's and hashcash's proofs are calculated with: 2^23, near what
    /// `hashcash -s` says on a common processor.
    static constexpr double hashes_per_second = 8'388'608;
    /// A line of more bytes is no answer.
    static constexpr std::size_t max_line = 1024;

    /// A question that takes a solver about `time`, different each time.
    static ProofDialogue draw(ProofStyle style, Seconds time)
    {
        return ProofDialogue(style, time, detail::random_bytes(SlothChallenge::start_size));
    }

    /// The question that these 16 bytes make, of which one at least is not 0.
    ProofDialogue(ProofStyle style, Seconds time, std::string_view random)
        : style_(style), challenge_(make_challenge(style, time, random))
    {
    }

    /// The challenge alone, as the question holds it.
    std::string challenge() const { return std::visit(Text(style_), challenge_); }

    /// The first text to the client.
    std::string question() const
    {
        const auto asked = challenge();
        switch (style_) {
        case ProofStyle::kctf:
            return "== proof-of-work: enabled ==\n"
                   "please solve a pow first\n"
                   "You can run the solver with:\n"
                   "    python3 <(curl -sSL https://goo.gle/kctf-pow) solve " +
                   asked +
                   "\n"
                   "===================\n"
                   "\n"
                   "Solution? ";
        case ProofStyle::redpwn:
            return "proof of work:\ncurl -sSfL https://pwn.red/pow | sh -s " + asked + "\nsolution: ";
        case ProofStyle::hxp: return asked + "\n";
        case ProofStyle::hashcash: return asked + "\nhashcash token: ";
        }
        return asked;
    }

    /// The text to a client that owes nothing, in this style.
    static std::string_view not_asked(ProofStyle style)
    {
        return style == ProofStyle::kctf ? "== proof-of-work: disabled ==\n" : "";
    }

    /// The answer in a line, without blanks and a question that was pasted with it; none when another line must be
    /// read.
    std::optional<std::string_view> answer_in(std::string_view line) const
    {
        for (const std::string_view pasted : {"solution: ", "Solution? ", "hashcash token: "}) {
            line = trimmed(line);
            if (line.starts_with(trimmed(pasted)))
                line.remove_prefix(trimmed(pasted).size());
        }
        line = trimmed(line);
        if (line.empty() && style_ == ProofStyle::kctf)
            return std::nullopt;
        return line;
    }

    /// Whether the answer is right. A second try would be a second chance: ask another question instead.
    ///
    /// Time: that of the challenge's own `verify`: call it on a helper thread.
    bool verify(std::string_view answer) const { return instancer::verify(challenge_, answer); }

    /// The text after a right answer, before the first byte of its instance.
    std::string_view accepted() const { return style_ == ProofStyle::kctf ? "Correct\n" : ""; }

    /// The text after a wrong answer, before the end.
    std::string_view refused() const
    {
        switch (style_) {
        case ProofStyle::kctf: return "Proof-of-work fail\npow fail\n";
        case ProofStyle::redpwn: return "incorrect proof of work\n";
        case ProofStyle::hxp: return "nope\n";
        case ProofStyle::hashcash: break;
        }
        return "";
    }

private:
    /// A challenge in the encoding of its style.
    struct Text {
        explicit Text(ProofStyle of) : style(of) {}

        std::string operator()(const SlothChallenge& challenge) const
        {
            // Solvers refuse a difficulty of more than four bytes, which kCTF's encoding has from here on.
            const bool short_enough = challenge.difficulty() < 1u << 23;
            return challenge.text(style == ProofStyle::kctf && short_enough ? SlothEncoding::kctf
                                                                            : SlothEncoding::redpwn);
        }

        template <class Hashing>
        std::string operator()(const Hashing& challenge) const
        {
            return challenge.text();
        }

        ProofStyle style;
    };

    static ProofChallenge make_challenge(ProofStyle style, Seconds time, std::string_view random)
    {
        const auto bits = static_cast<unsigned>(
            std::clamp(std::round(std::log2(std::max(time.count(), 1e-6) * hashes_per_second)), 1.0, 64.0));
        if (style == ProofStyle::hxp)
            return SuffixChallenge(bits, std::string(random.substr(0, SuffixChallenge::prefix_size)));
        if (style == ProofStyle::hashcash)
            return HashcashChallenge(bits, to_hex(random));
        const auto roots = std::clamp(time.count() * SlothChallenge::roots_per_second, 1.0, 4294967295.0);
        return *SlothChallenge::from_start(static_cast<std::uint32_t>(roots), random);
    }

    static std::string_view trimmed(std::string_view text)
    {
        constexpr std::string_view blanks = " \t\r\n";
        text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
        return text.substr(0, text.find_last_not_of(blanks) + 1);
    }

    ProofStyle style_;
    ProofChallenge challenge_;
};

}  // namespace instancer
