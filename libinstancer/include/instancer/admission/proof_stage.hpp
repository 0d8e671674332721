// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <asio/awaitable.hpp>

#include <instancer/admission/place_budget.hpp>
#include <instancer/admission/proof_queue.hpp>
#include <instancer/admission/stage.hpp>
#include <instancer/client.hpp>
#include <instancer/proof_of_work/proof_dialogue.hpp>
#include <instancer/proof_of_work/proof_step.hpp>

namespace instancer {

/// The kind and price of a proof of work, and the clients that need not give one.
class ProofOptions {
public:
    /// A solver's time.
    using Seconds = ProofDialogue::Seconds;

    ProofStyle style = ProofStyle::kctf;  ///< The wording of the question.
    /// How long the proof of that client takes its solver; 0: it is asked for none. Called on workers, several at once.
    std::function<Seconds(const ClientInfo&)> price = [](const ClientInfo&) { return Seconds(1); };
    std::chrono::steady_clock::duration timeout = std::chrono::minutes(5);  ///< For solving and verifying together.
    std::shared_ptr<PlaceBudget> places;  ///< Where clients take places while they solve; may be null.
    std::shared_ptr<ProofQueue> queue = std::make_shared<ProofQueue>();  ///< Several stages may share one.
    /// Whether an answer passes for something else than work; may be empty. Called on the queue's threads.
    std::function<bool(std::string_view challenge, std::string_view answer)> bypass;
    std::function<void(ProofStep)> report = [](ProofStep) {};  ///< Hears of each step. Called on workers.
    unsigned source_prefix = 64;   ///< IPv6 clients that share this many bits take turns in the queue as one source.
    unsigned source_prefix4 = 32;  ///< The same for IPv4.

    ProofOptions() = default;
};

/// Asks for a proof of work, and refuses a client whose first answer is wrong.
///
/// Exactly the lines of the answer are read from the stream: what follows stays there for the instance.
class ProofStage final : public AdmissionStage {
public:
    /// Asks as `options` say.
    explicit ProofStage(ProofOptions options)
        : AdmissionStage("proof of work", options.timeout, options.places), options_(std::move(options))
    {
    }

private:
    std::string do_unneeded() const override { return std::string(ProofDialogue::not_asked(options_.style)); }

    asio::awaitable<Result<void>> do_run(Stream& client, AdmissionContext& context) override;

    using DialoguePtr = std::shared_ptr<const ProofDialogue>;

    static asio::awaitable<Result<std::string>> read_answer(Stream& client, const ProofDialogue& dialogue);

    asio::awaitable<Result<bool>> verify(DialoguePtr dialogue, std::string answer, const ClientInfo& client) const;

    const ProofOptions options_;
};

}  // namespace instancer

#if !defined(INSTANCER_SEPARATE_COMPILATION)
#include <instancer/impl/admission/proof_stage.hpp>
#endif
