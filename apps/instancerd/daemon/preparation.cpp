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

Parsed<PreparedServices> prepare_services(const std::shared_ptr<const Settings>& settings, ServiceContext& context)
{
    PreparedServices prepared;
    for (std::size_t i = 0; i < settings->services.size(); ++i) {
        const OwnedSettings own(settings, i);
        auto service = entry_of(own.service().mode).prepare(own, context);
        if (!service)
            return wrong((settings->file.empty() ? "" : own.service().name + ": ") + service.error());
        prepared.push_back(std::move(*service));
    }
    return prepared;
}

}  // namespace instancer::daemon
