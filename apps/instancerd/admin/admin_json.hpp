// SPDX-License-Identifier: MIT
// What operations know, as JSON. The schemas of the OpenAPI document describe it.
#pragma once

#include <chrono>
#include <string>

#include <nlohmann/json.hpp>

#include "observe/log.hpp"
#include "reload/reload_report.hpp"
#include "status/event_ring.hpp"
#include "status/operations.hpp"

namespace instancer::daemon {

using Json = nlohmann::ordered_json;

/// Bytes that are no UTF-8 are replaced.
inline std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// Shows things as JSON, with the labels that `log` knows.
class JsonView {
public:
    explicit JsonView(const Log& log) : log_(log) {}

    Json show(const ServiceStatus& service) const;
    Json show(const InstanceStatus& instance) const;
    Json show(const SessionStatus& session) const;
    Json show(const ServiceUpstream& upstream) const;
    Json show(const ServiceBan& ban) const;
    Json show(const RecordedEvent& event) const;
    Json show(const ReloadReport& report) const;

private:
    const Log& log_;
};

/// In seconds, to the millisecond.
double seconds_of(std::chrono::nanoseconds duration);

}  // namespace instancer::daemon
