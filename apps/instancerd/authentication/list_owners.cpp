// SPDX-License-Identifier: MIT
#include "authentication/list_owners.hpp"

#include "authentication/authentication.hpp"
#include "config/text.hpp"

namespace instancer::daemon {

std::string list_owners(const Settings& settings)
{
    std::string text;
    Events nobody;
    for (const auto& service : settings.services)
        if (const auto authentication = open_authentication(service, nobody))
            for (const auto& [owner, label] : authentication->owners())
                text += owner + "\t" + service.name + "\t" + one_line(label) + "\n";
    return text;
}

}  // namespace instancer::daemon
