// SPDX-License-Identifier: MIT
#include "reload/service_instances.hpp"

#include <algorithm>
#include <utility>

namespace instancer::daemon {

ServiceInstances::ServiceInstances(Workers& workers, const std::string& service, const PoolOptions& options,
                                   std::unique_ptr<InstanceBackend> backend, bool recovers, Events& events,
                                   std::shared_ptr<InstanceBudget> budget)
    : most_(backend->traits().max_instances()),
      backend_(workers, std::move(backend), recovers),
      pool_(workers.control(), service, capped(options), backend_, events, std::move(budget))
{
}

PoolOptions ServiceInstances::capped(PoolOptions options) const
{
    if (most_ != 0)
        options.max_instances = options.max_instances == 0 ? most_ : std::min(options.max_instances, most_);
    return options;
}

void ServiceInstances::use(const PoolOptions& options) { pool_.replace_options(capped(options)); }

void ServiceInstances::use(const PoolOptions& options, std::unique_ptr<InstanceBackend> backend)
{
    most_ = backend->traits().max_instances();
    auto without_warm = options;
    without_warm.warm = 0;
    use(without_warm);
    backend_.replace(std::move(backend));
    use(options);
}

}  // namespace instancer::daemon
