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
