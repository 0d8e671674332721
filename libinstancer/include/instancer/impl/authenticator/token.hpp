// SPDX-License-Identifier: MIT
#pragma once

#include <instancer/authenticator/token.hpp>
#include <instancer/detail/config.hpp>

namespace instancer {

INSTANCER_DECL asio::awaitable<Result<Admission>> TokenAuthenticator::do_authenticate(Stream& client, const ClientInfo&)
{
    TokenGreeting greeting;
    while (!greeting.is_complete()) {
        const auto count = co_await client.read_some(greeting.missing());
        if (!count)
            co_return fail(count.error());
        if (*count == 0)
            co_return fail(Errc::cancelled, "the client left after " + std::to_string(greeting.received()) +
                                                " of the greeting's " + std::to_string(greeting.size) + " bytes");
        greeting.add(*count);
    }
    if (!tokens_.contains(greeting.token()))
        co_return fail(Errc::rejected, "unknown token");
    const auto identifier = greeting.identifier();
    Admission admission{std::string(greeting.token()), std::string(identifier)};
    admission.reset(std::memcmp(identifier.data(), reset_identifier_.data(), reset_identifier_.size()) == 0);
    co_return admission;
}

INSTANCER_DECL std::vector<std::string> TokenAuthenticator::bytes_of(const std::vector<Token>& tokens)
{
    std::vector<std::string> all;
    all.reserve(tokens.size());
    for (const auto& token : tokens)
        all.emplace_back(token.bytes());
    return all;
}

}  // namespace instancer
