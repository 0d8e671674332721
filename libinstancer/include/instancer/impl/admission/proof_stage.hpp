// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <asio/error.hpp>

#include <instancer/admission/proof_stage.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/read_line.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<void>> ProofStage::do_run(Stream& client, AdmissionContext& context)
{
    const auto price = options_.price(context.client());
    if (price <= price.zero())
        co_return co_await client.write_all(ProofDialogue::not_asked(options_.style));
    const auto dialogue = std::make_shared<const ProofDialogue>(ProofDialogue::draw(options_.style, price));
    const auto question = dialogue->question();
    if (auto asked = co_await client.write_all(question); !asked)
        co_return asked;
    options_.report(ProofStep::asked);
    auto answer = co_await read_answer(client, *dialogue);
    if (!answer && answer.error() != Errc::rejected)
        co_return fail(std::move(answer.error()));
    auto right = Result<bool>(false);
    if (answer)
        right = co_await verify(dialogue, *answer, context.client());
    if (!right)
        co_return fail(std::move(right.error()));
    options_.report(*right ? ProofStep::solved : ProofStep::failed);
    if (*right)
        co_return co_await client.write_all(dialogue->accepted());
    // Best effort: a client that does not take a line at once does not get it.
    static_cast<void>(client.try_write(dialogue->refused()));
    co_return fail(answer ? Error(Errc::rejected, "a wrong answer") : answer.error());
}

INSTANCER_DECL asio::awaitable<Result<std::string>> ProofStage::read_answer(Stream& client,
                                                                            const ProofDialogue& dialogue)
{
    for (;;) {
        const auto line = co_await read_line(client, ProofDialogue::max_line);
        if (!line && line.error() == asio::error::make_error_code(asio::error::eof))
            co_return fail(Errc::cancelled, "the client left before it had answered");
        if (!line)
            co_return fail(line.error());
        if (const auto answer = dialogue.answer_in(*line))
            co_return std::string(*answer);
    }
}

INSTANCER_DECL asio::awaitable<Result<bool>> ProofStage::verify(DialoguePtr dialogue, std::string answer,
                                                                const ClientInfo& client) const
{
    const Source source(client, options_.source_prefix, options_.source_prefix4);
    std::function<bool()> check = [dialogue = std::move(dialogue), answer = std::move(answer),
                                   bypass = options_.bypass] {
        return (bypass && bypass(dialogue->challenge(), answer)) || dialogue->verify(answer);
    };
    return options_.queue->verify(source, std::move(check));
}

}  // namespace instancer
