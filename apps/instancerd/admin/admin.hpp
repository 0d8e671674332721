// SPDX-License-Identifier: MIT
// The address at which operators ask and steer a daemon that runs.
#pragma once

#include <memory>
#include <string>

#include <instancer/workers.hpp>

#include "admin/admin_api.hpp"
#include "config/settings.hpp"
#include "daemon/preparation.hpp"
#include "daemon/service_list.hpp"
#include "http/http_server.hpp"
#include "http/origin_check.hpp"
#include "observe/log.hpp"
#include "status/daemon_orders.hpp"
#include "status/event_ring.hpp"
#include "status/operations.hpp"

namespace instancer::daemon {

/// Answers operators by HTTP: whoever reaches the Unix socket, which is its user's alone, or shows the token.
///
/// Lifetime: what it is made of must outlive it.
/// Threads: the control executor of the workers; `stop` on any other.
class Admin {
public:
    /// Listens, reads the token, and has the log tell `events` all that it hears. The error names the address or the
    /// file, and the remedy.
    static Parsed<std::unique_ptr<Admin>> open(const Settings& settings, ServiceContext& context, ServiceList& services,
                                               EventRing& events, DaemonOrders& orders);

    /// Routes may be added until `start`.
    HttpRoutes& routes() noexcept { return api_.routes(); }

    void start() { server_.start(); }

    /// Ends all connections. Requests that are going on need the control executor.
    void stop() { server_.stop(); }

private:
    Admin(const Settings& settings, ServiceContext& context, ServiceList& services, EventRing& events,
          DaemonOrders& orders);

    HttpResponse answer(const HttpRequest& request) const;
    bool shows_token(const HttpRequest& request) const;

    std::string token_;  ///< Empty: none is asked for.
    const OriginCheck origin_;
    Operations operations_;
    AdminApi api_;
    HttpServer server_;
};

}  // namespace instancer::daemon
