// SPDX-License-Identifier: MIT
#include "authentication/web/web_ways.hpp"

#include <instancer/authenticator/prompt.hpp>

#include "authentication/menu/menu_stage.hpp"
#include "authentication/web/web_verifier.hpp"

namespace instancer::daemon {

namespace {

template <const WebDialect& dialect>
Authentication make(const ServiceSettings& service, Events& events)
{
    auto verifier = std::make_unique<WebVerifier>(service, dialect, events);
    return Authentication(
        std::make_unique<PromptAuthenticator>(std::move(verifier), service.prompt, WebVerifier::max_line));
}

void check(Checker& checker)
{
    check_menu(checker);
    const auto& url = checker.service.authentication.web.url;
    if (url.empty() && !checker.has("auth-url"))
        checker.refuse("auth",
                       "needs to know who says whose a token is; add " + checker.say("auth-url", "https://HOST/PATH"));
    const auto address = parse_web_address(url);
    if (!address)
        return;
    if (!address->secure && !address->is_loopback())
        checker.refuse("auth-url",
                       "would send what clients type to another machine where everybody on the way can read "
                       "it, and believe whoever answers; write https://" +
                           address->origin.substr(std::string_view("http://").size()) + address->path);
}

}  // namespace

constinit const Way webhook_way{.auth = Auth::webhook, .make = make<webhook_dialect>, .check = check};
constinit const Way ctfd_way{.auth = Auth::ctfd, .make = make<ctfd_dialect>, .check = check};
constinit const Way rctf_way{.auth = Auth::rctf, .make = make<rctf_dialect>, .check = check};

}  // namespace instancer::daemon
