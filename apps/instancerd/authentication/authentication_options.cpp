// SPDX-License-Identifier: MIT
#include "authentication/authentication_options.hpp"

#include "options/types.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using A = AuthenticationSettings;

Parsed<void> add_key(Target to, const std::string& text)
{
    if (text.empty())
        return wrong("names no path");
    to.service->authentication.keys.push_back(to.settings.resolve(text));
    return {};
}

constexpr std::string_view tokens = "Signed tokens";

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option table[] = {
    {tokens, "auth-key", custom<Shape::list, add_key>.called("FILE"), Scope::instances, {},
     "a key that tokens are signed with: a public key of Ed25519 in PEM, or a secret that the signer shares, of 32 bytes "
     "at least: hex: and digits, or the text itself. Any of several keys may have signed a token",
     {.needs = {{{{"auth", "signed"}}}}, .reload = true}},
};
// clang-format on

}  // namespace

std::span<const Option> authentication_options() { return table; }

}  // namespace instancer::daemon
