// SPDX-License-Identifier: MIT
#include "authentication/authentication_options.hpp"

#include "authentication/web/web_address.hpp"
#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using A = AuthenticationSettings;
using W = WebSettings;

Parsed<void> add_key(Target to, const std::string& text)
{
    if (text.empty())
        return wrong("names no path");
    to.service->authentication.keys.push_back(to.settings.resolve(text));
    return {};
}

Parsed<void> set_url(Target to, const std::string& text)
{
    if (const auto address = parse_web_address(text); !address)
        return wrong(address.error());
    to.service->authentication.web.url = text;
    return {};
}

/// Without what may be a secret.
std::string print_url(const View& from)
{
    const auto& url = from.service->authentication.web.url;
    return url.substr(0, url.find('?'));
}

constexpr Choice<WhenUnreachable> when_down[] = {{"refuse", WhenUnreachable::refuse},
                                                 {"cached", WhenUnreachable::cached}};

constexpr Needs with_web = {{{{"auth", "webhook"}, {"auth", "ctfd"}, {"auth", "rctf"}}}};

constexpr std::string_view clients = "Clients that are known", tokens = "Signed tokens",
                           web = "Tokens that a web server knows";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {clients, "menu", flag<&S::authentication, &A::menu>, Scope::instances, {},
     "a client whose token is right can look at its instances (!status), extend them (!extend, where extend is given) and "
     "end them (!reset); with an empty line it goes on to its instance",
     {.needs = with_line}},

    {tokens, "auth-key", custom<Shape::list, add_key>.called("FILE"), Scope::instances, {},
     "a key that tokens are signed with: a public key of Ed25519 in PEM, or a secret that the signer shares, of 32 bytes "
     "at least: hex: and digits, or the text itself. Any of several keys may have signed a token",
     {.needs = {{{{"auth", "signed"}}}}, .reload = true}},

    {web, "auth-url", custom<Shape::text, set_url, print_url>.called("URL"), Scope::instances, {},
     "the service that finds the owner of a token: https://HOST/PATH, or http on this machine. With ctfd and rctf "
     "without a path: the platform itself",
     {.needs = with_web}},
    {web, "auth-url-timeout", some_duration<&S::authentication, &A::web, &W::timeout>, Scope::instances, {},
     "how long it may take to answer",
     {.needs = with_web}},
    {web, "auth-url-cache", duration<&S::authentication, &A::web, &W::cache>, Scope::instances, {},
     "how long it is not asked again about a client that it has admitted; 0: it is asked each time",
     {.needs = with_web}},
    {web, "auth-url-down", choice<when_down, &S::authentication, &A::web, &W::when_down>, Scope::instances, {},
     "what clients meet while it does not answer: all are refused, or those are admitted that were admitted before",
     {.needs = with_web}},
};
// clang-format on

}  // namespace

std::span<const Option> authentication_options() { return table; }

}  // namespace instancer::daemon
