// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <asio/any_io_executor.hpp>

#include <instancer/acceptor/unadmitted_limit.hpp>

#include "admin/endpoints.hpp"
#include "http/http_message.hpp"
#include "http/http_routes.hpp"
#include "observe/log.hpp"
#include "status/daemon_orders.hpp"
#include "status/event_ring.hpp"
#include "status/operations.hpp"

namespace instancer::daemon {

/// Answers the requests of operators: asks `operations` on the control executor, and waits no longer than `deadline`.
///
/// Lifetime: what it is made of must outlive it.
/// Threads: any but the control executor, several at once.
class AdminApi {
public:
    AdminApi(DaemonOrders& daemon, Operations& operations, EventRing& events, const UnadmittedLimit& unadmitted,
             const asio::any_io_executor& control, const Log& log, std::chrono::milliseconds deadline);

    /// Routes may be added until the first request.
    HttpRoutes& routes() noexcept { return routes_; }

    HttpResponse answer(const HttpRequest& request) const { return routes_.answer(request); }

    // What endpoints are answered with.

    HttpResponse status(const HttpRequest&);
    HttpResponse services(const HttpRequest& request);
    HttpResponse service(const HttpRequest& request);
    HttpResponse instances(const HttpRequest& request);
    HttpResponse sessions(const HttpRequest& request);
    HttpResponse queue(const HttpRequest& request);
    HttpResponse bans(const HttpRequest& request);
    HttpResponse upstreams(const HttpRequest& request);
    HttpResponse events(const HttpRequest& request);
    HttpResponse follow_events(const HttpRequest& request);
    HttpResponse pause(const HttpRequest& request);
    HttpResponse resume(const HttpRequest& request);
    HttpResponse stop_instance(const HttpRequest& request);
    HttpResponse extend_instance(const HttpRequest& request);
    HttpResponse reset_owner(const HttpRequest& request);
    HttpResponse end_session(const HttpRequest& request);
    HttpResponse drain_upstream(const HttpRequest& request);
    HttpResponse fill_upstream(const HttpRequest& request);
    HttpResponse ban(const HttpRequest& request);
    HttpResponse unban(const HttpRequest& request);
    HttpResponse reload(const HttpRequest& request);
    HttpResponse reopen(const HttpRequest&);
    HttpResponse document(const HttpRequest&);

private:
    HttpResponse answer_as(const Endpoint& endpoint, const HttpRequest& request);

    /// Runs `order` on the control executor.
    HttpResponse obey(std::function<Outcome()> order) const;

    HttpResponse drain(const HttpRequest& request, bool drained);
    HttpResponse list_sessions(const HttpRequest& request, std::string_view list, std::string_view stage);

    DaemonOrders& daemon_;
    Operations& operations_;
    EventRing& events_;
    const UnadmittedLimit& unadmitted_;
    const asio::any_io_executor control_;
    const Log& log_;
    const std::chrono::milliseconds deadline_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    HttpRoutes routes_;
};

}  // namespace instancer::daemon
