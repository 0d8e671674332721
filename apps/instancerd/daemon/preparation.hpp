// SPDX-License-Identifier: MIT
// What comes before services run: all that can fail at once.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <asio/any_io_executor.hpp>

#include <instancer/acceptor/unadmitted_limit.hpp>
#include <instancer/admission/proof_queue.hpp>
#include <instancer/event_list.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/workers.hpp>

#include "config/settings.hpp"
#include "daemon/listen.hpp"
#include "daemon/running_service.hpp"
#include "metrics/metrics.hpp"
#include "modes/oci/oci_images.hpp"
#include "observe/access_log.hpp"
#include "observe/log.hpp"
#include "observe/reopened_files.hpp"
#include "reload/succession.hpp"

namespace instancer::daemon {

/// What the services of a daemon share.
///
/// Lifetime: must outlive the services that are made with it, but for `inherited`.
/// Threads: the control executor.
class ServiceContext {
public:
    /// With the limits that `settings` have for all services together, but for `max_unadmitted`.
    ServiceContext(Workers& all_workers, const Settings& settings, Log& to)
        : workers(all_workers),
          budget(std::make_shared<InstanceBudget>(settings.max_instances, settings.max_per_owner)),
          unadmitted(std::make_shared<UnadmittedLimit>(0, settings.max_unadmitted_per_source)),
          log(to)
    {
        inherited.list_on(workers.control());
    }

    /// The worker for the next service that lives on one, in turn; the first worker has enough to do.
    asio::any_io_executor next_home() { return workers.executor(++homes_ % workers.size()); }

    /// What hears of the sessions and instances of a service, the log last: what a line of it tells counts already.
    Events& events_of(const ServiceSettings& service);

    /// Verifies the proofs of work of all services.
    const std::shared_ptr<ProofQueue>& proof_queue();

    Workers& workers;
    InheritedSockets inherited;
    const std::shared_ptr<InstanceBudget> budget;
    const std::shared_ptr<UnadmittedLimit> unadmitted;
    Succession succession;
    OciImages images;
    ReopenedFiles files;
    Metrics metrics;
    std::shared_ptr<AccessLog> access_log;  ///< May be null.
    Log& log;

private:
    std::size_t homes_ = 0;
    std::map<std::pair<std::string, Mode>, EventList> events_;  ///< By service.
    std::shared_ptr<ProofQueue> proofs_;                        ///< Once a service needs it.
};

/// One service, which its mode makes; the error names the service if the user named it.
Parsed<std::unique_ptr<RunningService>> prepare_service(const OwnedSettings& settings, ServiceContext& context);

using PreparedServices = std::vector<std::unique_ptr<RunningService>>;

/// All services of the settings, each made by its mode. Where one fails, nothing stays bound.
Parsed<PreparedServices> prepare_services(const std::shared_ptr<const Settings>& settings, ServiceContext& context);

}  // namespace instancer::daemon
