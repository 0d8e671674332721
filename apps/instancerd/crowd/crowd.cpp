// SPDX-License-Identifier: MIT
#include "crowd/crowd.hpp"

#include <instancer/admission/start_rate_stage.hpp>

namespace instancer::daemon {

void add_crowd(AccessControlOptions& options, const ServiceSettings& service)
{
    options.connect_rate = service.crowd.connect_rate;
    options.source_prefix4 = service.source_prefix4;
}

void add_crowd(ServerOptions& options, const ServiceSettings& service)
{
    const auto& crowd = service.crowd;
    options.source_prefix4 = service.source_prefix4;
    if (crowd.max_authenticating != 0)
        options.authenticating =
            std::make_shared<PlaceBudget>(crowd.max_authenticating, service.source_prefix, service.source_prefix4);
    if (!crowd.start_rate.unlimited())
        options.start_stages.push_back(
            std::make_shared<StartRateStage>(crowd.start_rate, service.source_prefix, service.source_prefix4));
    if (crowd.tell)
        options.tell = std::make_shared<const ClientTexts>(crowd.texts);
    if (service.pool.warn_before == service.pool.warn_before.zero())
        return;
    options.warn_before = service.pool.warn_before;
    options.warning = crowd.warning;
    options.idle_warning = crowd.idle_warning;
}

}  // namespace instancer::daemon
