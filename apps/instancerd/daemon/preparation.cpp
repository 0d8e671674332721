// SPDX-License-Identifier: MIT
#include "daemon/preparation.hpp"

#include <algorithm>

#include "modes/modes.hpp"

namespace instancer::daemon {

const std::shared_ptr<ProofQueue>& ServiceContext::proof_queue()
{
    // Verifying must leave processors to those who are served.
    if (!proofs_)
        proofs_ = std::make_shared<ProofQueue>(std::max<std::size_t>(processors() / 2, 1));
    return proofs_;
}

Events& ServiceContext::events_of(const ServiceSettings& service)
{
    const auto [list, is_new] = events_.try_emplace({service.name, service.mode});
    if (is_new) {
        list->second.add(metrics.of(service));
        if (access_log)
            list->second.add(*access_log);
        list->second.add(log);
    }
    return list->second;
}

Parsed<std::unique_ptr<RunningService>> prepare_service(const OwnedSettings& settings, ServiceContext& context)
{
    const auto& service = settings.service();
    auto prepared = entry_of(service.mode).prepare(settings, context);
    if (!prepared)
        return wrong((settings.daemon().file.empty() ? "" : service.name + ": ") + prepared.error());
    return prepared;
}

Parsed<PreparedServices> prepare_services(const std::shared_ptr<const Settings>& settings, ServiceContext& context)
{
    PreparedServices prepared;
    for (std::size_t i = 0; i < settings->services.size(); ++i) {
        context.inherited.open_for(settings->services[i].name);
        auto service = prepare_service(OwnedSettings(settings, i), context);
        if (!service)
            return wrong(service.error());
        prepared.push_back(std::move(*service));
    }
    return prepared;
}

}  // namespace instancer::daemon
