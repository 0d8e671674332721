// SPDX-License-Identifier: MIT
#include "reload/reload_report.hpp"

namespace instancer::daemon {

std::vector<std::string> ReloadReport::restarts() const
{
    std::vector<std::string> keys;
    for (const auto& change : plan.daemon)
        if (change.effect == Effect::restart)
            keys.push_back(change.key);
    for (const auto& service : plan.services)
        for (const auto& change : service.options)
            if (change.effect == Effect::restart)
                keys.push_back("services." + service.service + "." + change.key);
    return keys;
}

}  // namespace instancer::daemon
