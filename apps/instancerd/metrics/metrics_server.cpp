// SPDX-License-Identifier: MIT
#include "metrics/metrics_server.hpp"

#include <string>
#include <utility>

#include "http/http_routes.hpp"
#include "metrics/exposition.hpp"

namespace instancer::daemon {

HttpResponse answer_metrics(const MetricsReader& reader)
{
    return HttpResponse(200, std::string(Exposition::content_type), reader.text());
}

std::unique_ptr<HttpServer> make_metrics_server(const MetricsReader& reader, Log& log)
{
    HttpRoutes routes;
    routes.add("GET", "/metrics", [&reader](const HttpRequest&) { return answer_metrics(reader); });
    HttpOptions options;
    options.complain = [&log](const std::string& what) { log.warning({}, "a request for metrics failed: " + what); };
    return std::make_unique<HttpServer>(std::move(options), [routes = std::move(routes)](const HttpRequest& request) {
        return routes.answer(request);
    });
}

}  // namespace instancer::daemon
