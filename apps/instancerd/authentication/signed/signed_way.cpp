// SPDX-License-Identifier: MIT
#include "authentication/signed/signed_way.hpp"

#include <instancer/authenticator/prompt.hpp>
#include <instancer/authenticator/signed_token.hpp>

#include "authentication/menu/menu_stage.hpp"
#include "authentication/signed/key_file.hpp"
#include "config/text.hpp"
#include "daemon/system.hpp"

namespace instancer::daemon {

namespace {

Authentication make(const ServiceSettings& service, Events&)
{
    auto verifier = std::make_unique<SignedTokenVerifier>(service.name);
    auto read = [&files = service.authentication.keys, &by = *verifier]() -> Parsed<Authentication::Reading> {
        auto keys = load_signing_keys(files);
        if (!keys)
            return wrong(keys.error());
        const auto text = "read " + counted(keys->size(), "key") + " that tokens are signed with";
        return Authentication::Reading(text, {}, [&by, all = std::move(*keys)] { by.set_keys(all); });
    };
    auto authenticator =
        std::make_unique<PromptAuthenticator>(std::move(verifier), service.prompt, SignedTokenVerifier::max_token);
    return Authentication(std::move(authenticator), "keys", std::move(read));
}

void check(Checker& checker)
{
    check_menu(checker);
    const auto& keys = checker.service.authentication.keys;
    if (keys.empty() && checker.service.reads("auth-key"))
        checker.refuse("auth", "needs a key that tokens are signed with; add " + checker.say("auth-key", "FILE"));
    else if (const auto loaded = load_signing_keys(keys); !loaded)
        checker.refuse("auth-key", loaded.error());
}

/// Who knows a shared secret can sign; a public key may be known to everybody.
std::vector<std::string> warn(const ServiceSettings& service)
{
    std::vector<std::string> warnings;
    for (const auto& file : service.authentication.keys) {
        const auto keys = load_signing_keys({file});
        if (keys && keys->front().algorithm() == SigningKey::Algorithm::hmac_sha256 && is_readable_by_all(file))
            warnings.push_back("every user of this machine can read " + file +
                               ", and with that secret sign tokens; chmod o-r it");
    }
    return warnings;
}

}  // namespace

constinit const Way signed_way{.auth = Auth::signed_token, .make = make, .check = check, .warn = warn};

}  // namespace instancer::daemon
