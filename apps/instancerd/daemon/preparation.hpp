// SPDX-License-Identifier: MIT
// What comes before services run: all that can fail at once.
#pragma once

#include <memory>
#include <vector>

#include <asio/any_io_executor.hpp>

#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/workers.hpp>

#include "daemon/listen.hpp"
#include "daemon/running_service.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// What the services of a daemon share.
///
/// Lifetime: must outlive the services that are made with it, but for `inherited`.
/// Threads: the control executor.
class ServiceContext {
public:
    /// `max_instances`: of all services together; 0: no limit.
    ServiceContext(Workers& all_workers, std::size_t max_instances, Log& to)
        : workers(all_workers), budget(std::make_shared<InstanceBudget>(max_instances)), log(to)
    {
    }

    /// The worker for the next service that lives on one, in turn; the first worker has enough to do.
    asio::any_io_executor next_home() { return workers.executor(++homes_ % workers.size()); }

    Workers& workers;
    InheritedSockets inherited;
    const std::shared_ptr<InstanceBudget> budget;
    const std::shared_ptr<UnadmittedLimit> unadmitted = std::make_shared<UnadmittedLimit>(0);
    Log& log;

private:
    std::size_t homes_ = 0;
};

using PreparedServices = std::vector<std::unique_ptr<RunningService>>;

/// All services of the settings, each made by its mode. Where one fails, nothing stays bound; the error names the
/// service if the user named it.
Parsed<PreparedServices> prepare_services(const std::shared_ptr<const Settings>& settings, ServiceContext& context);

}  // namespace instancer::daemon
