// SPDX-License-Identifier: MIT
#pragma once

#include <memory>

#include "http/http_message.hpp"
#include "http/http_server.hpp"
#include "metrics/metrics_reader.hpp"
#include "observe/log.hpp"

namespace instancer::daemon {

/// The metrics as an answer to a request.
HttpResponse answer_metrics(const MetricsReader& reader);

/// Serves them, and nothing else, at `/metrics`.
///
/// Lifetime: `reader` and `log` must outlive it.
std::unique_ptr<HttpServer> make_metrics_server(const MetricsReader& reader, Log& log);

}  // namespace instancer::daemon
