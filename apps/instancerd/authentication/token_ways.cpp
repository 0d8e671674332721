// SPDX-License-Identifier: MIT
#include "authentication/token_ways.hpp"

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/token.hpp>
#include <instancer/authenticator/token_list.hpp>

#include "authentication/menu/menu_stage.hpp"
#include "config/text.hpp"
#include "daemon/system.hpp"
#include "files/tokens.hpp"

namespace instancer::daemon {

namespace {

using Tokens = std::vector<std::string>;

Tokens secrets_of(const std::vector<ListedToken>& listed)
{
    Tokens tokens;
    for (const auto& token : listed)
        tokens.push_back(token.secret());
    return tokens;
}

/// `use` puts the tokens in force.
Authentication of_list(std::unique_ptr<Authenticator> authenticator, const ServiceSettings& service,
                       std::function<void(const Tokens&)> use)
{
    auto read = [&service, use = std::move(use)]() -> Parsed<Authentication::Reading> {
        auto tokens = load_tokens(service.tokens, service.auth);
        if (!tokens)
            return wrong(tokens.error());
        Authentication::Reading reading("read " + counted(tokens->size(), "token") + " from " + service.tokens,
                                        owners_of(service.name, *tokens),
                                        [use, all = secrets_of(*tokens)] { use(all); });
        reading.remark = remark_on_tokens(service.tokens, service.auth);
        return reading;
    };
    return Authentication(std::move(authenticator), "tokens", std::move(read));
}

Authentication make_token_way(const ServiceSettings& service, Events&)
{
    auto authenticator = std::make_unique<TokenAuthenticator>(std::vector<Token>(), service.reset_id);
    auto use = [&by = *authenticator](const Tokens& all) { by.set_tokens(std::vector<Token>(all.begin(), all.end())); };
    return of_list(std::move(authenticator), service, std::move(use));
}

Authentication make_prompt_way(const ServiceSettings& service, Events&)
{
    auto verifier = std::make_unique<TokenListVerifier>();
    auto use = [&by = *verifier](const Tokens& all) { by.set_tokens(all); };
    auto authenticator =
        std::make_unique<PromptAuthenticator>(std::move(verifier), service.prompt, PromptAuthenticator::max_token);
    return of_list(std::move(authenticator), service, std::move(use));
}

void check(Checker& checker)
{
    check_menu(checker);
    const auto& service = checker.service;
    if (service.tokens.empty() && !checker.has("tokens"))
        checker.refuse("auth", "needs a list of accepted tokens; add " + checker.say("tokens", "FILE"));
    else if (!service.tokens.empty())
        if (const auto tokens = load_tokens(service.tokens, service.auth); !tokens)
            checker.refuse("tokens", tokens.error());
}

std::vector<std::string> warn(const ServiceSettings& service)
{
    auto remark = remark_on_tokens(service.tokens, service.auth);
    return remark.empty() ? std::vector<std::string>() : std::vector{std::move(remark)};
}

}  // namespace

constinit const Way token_way{.auth = Auth::token, .make = make_token_way, .check = check, .warn = warn};
constinit const Way prompt_way{.auth = Auth::prompt, .make = make_prompt_way, .check = check, .warn = warn};

}  // namespace instancer::daemon
