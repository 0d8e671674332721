// SPDX-License-Identifier: MIT
#include "authentication/ways.hpp"

#include <algorithm>
#include <iterator>

#include <instancer/authenticator/open.hpp>
#include <instancer/authenticator/shared.hpp>
#include <instancer/authenticator/source_address.hpp>

#include "authentication/signed/signed_way.hpp"
#include "authentication/token_ways.hpp"
#include "authentication/web/web_ways.hpp"

namespace instancer::daemon {

namespace {

constexpr Way open_way{.auth = Auth::open, .make = [](const ServiceSettings&, Events&) {
                           return Authentication(std::make_unique<OpenAuthenticator>());
                       }};

constexpr Way source_way{.auth = Auth::source, .make = [](const ServiceSettings& service, Events&) {
                             return Authentication(std::make_unique<SourceAddressAuthenticator>(service.source_prefix));
                         }};

constexpr Way shared_way{
    .auth = Auth::shared,
    .make = [](const ServiceSettings&, Events&) { return Authentication(std::make_unique<SharedAuthenticator>()); },
    .check =
        [](Checker& checker) {
            if (!checker.service.single_use())
                return;
            checker.refuse("auth", "shared cannot work: here an instance serves one connection and "
                                   "goes with it; use " +
                                       checker.say_several_connections());
        }};

constexpr const Way* list[] = {
    &open_way,     //
    &source_way,   //
    &token_way,    //
    &prompt_way,   //
    &signed_way,   //
    &webhook_way,  //
    &ctfd_way,     //
    &rctf_way,     //
    &shared_way,   //
};

}  // namespace

const Way& way_of(Auth auth)
{
    return **std::find_if(std::begin(list), std::end(list), [&](const auto* way) { return way->auth == auth; });
}

}  // namespace instancer::daemon
