// SPDX-License-Identifier: MIT
#pragma once

#include <asio/error.hpp>

#include <instancer/authenticator/prompt.hpp>
#include <instancer/detail/config.hpp>
#include <instancer/read_typed_line.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<Admission>> PromptAuthenticator::do_authenticate(Stream& client,
                                                                                       const ClientInfo& info)
{
    if (!prompt_.empty())
        if (auto asked = co_await client.write_all(prompt_); !asked)
            co_return fail(std::move(asked.error()));
    const auto negotiation = prompt_.empty() ? Negotiation::ignored : Negotiation::refused;
    auto token = co_await read_typed_line(client, max_line_, negotiation);
    if (!token && token.error() == asio::error::make_error_code(asio::error::eof))
        co_return fail(Errc::cancelled, "the client left before it had named a token");
    if (!token)
        co_return fail(std::move(token.error()));
    auto admission = co_await verifier_->verify(std::move(*token), info);
    if (!admission)
        tell(client, admission.error());
    else if (!prompt_.empty())
        admission->on_refusal([](const Error& reason) { return reason.code().message() + "\n"; });
    co_return admission;
}

INSTANCER_DECL void PromptAuthenticator::tell(Stream& client, const Error& error) const
{
    if (prompt_.empty())
        return;
    if (error == Errc::rejected)
        static_cast<void>(client.try_write("unknown token\n"));
    else if (error == Errc::backend_unavailable)
        static_cast<void>(client.try_write("nobody can check tokens now; try again later\n"));
}

}  // namespace instancer
