// SPDX-License-Identifier: MIT
#include "authentication/ways.hpp"

#include <algorithm>
#include <iterator>

#include <instancer/authenticator/open.hpp>
#include <instancer/authenticator/source_address.hpp>

#include "authentication/signed/signed_way.hpp"
#include "authentication/token_ways.hpp"

namespace instancer::daemon {

namespace {

constexpr Way open_way{.auth = Auth::open, .make = [](const ServiceSettings&, Events&) {
                           return Authentication(std::make_unique<OpenAuthenticator>());
                       }};

constexpr Way source_way{.auth = Auth::source, .make = [](const ServiceSettings& service, Events&) {
                             return Authentication(std::make_unique<SourceAddressAuthenticator>(service.source_prefix));
                         }};

constexpr const Way* list[] = {
    &open_way,    //
    &source_way,  //
    &token_way,   //
    &prompt_way,  //
    &signed_way,  //
};

}  // namespace

const Way& way_of(Auth auth)
{
    return **std::find_if(std::begin(list), std::end(list), [&](const auto* way) { return way->auth == auth; });
}

}  // namespace instancer::daemon
