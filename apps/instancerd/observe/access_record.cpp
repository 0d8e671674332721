// SPDX-License-Identifier: MIT
#include "observe/access_record.hpp"

#include <cmath>
#include <cstdio>
#include <optional>

#include <nlohmann/json.hpp>

#include <instancer/text/utc_time.hpp>

namespace instancer::daemon {

namespace {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

/// To a microsecond.
double seconds(std::chrono::nanoseconds duration)
{
    return std::round(static_cast<double>(duration.count()) / 1e3) / 1e6;
}

Json seconds_or_null(const std::optional<SessionTimes::Duration>& duration)
{
    return duration ? Json(seconds(*duration)) : Json();
}

/// With its milliseconds.
std::string utc_with_fraction(std::chrono::system_clock::time_point moment)
{
    const auto whole = std::chrono::floor<std::chrono::seconds>(moment);
    const auto rest = std::chrono::duration_cast<std::chrono::milliseconds>(moment - whole);
    char fraction[8];
    std::snprintf(fraction, sizeof fraction, ".%03dZ", static_cast<int>(rest.count()));
    auto text = to_utc(whole);
    text.pop_back();
    return text + fraction;
}

Json stages_of(const SessionTimes& times)
{
    auto stages = Json::object();
    for (std::size_t i = 0; i < times.stage_count; ++i)
        stages[std::string(times.stages[i].name)] = seconds(times.stages[i].took);
    return stages;
}

}  // namespace

std::string_view ended_by(SessionEnd end) noexcept
{
    switch (end) {
    case SessionEnd::completed: return "both";
    case SessionEnd::client_reset:
    case SessionEnd::client_left:
    case SessionEnd::reset: return "client";
    case SessionEnd::instance_reset:
    case SessionEnd::instance_ended:
    case SessionEnd::start_failed: return "instance";
    case SessionEnd::access_denied:
    case SessionEnd::authentication_failed:
    case SessionEnd::auth_timeout: return "rules";
    case SessionEnd::displaced:
    case SessionEnd::limit_reached:
    case SessionEnd::queue_timeout:
    case SessionEnd::culled: return "limits";
    case SessionEnd::expired:
    case SessionEnd::idle:
    case SessionEnd::half_closed:
    case SessionEnd::too_long: return "times";
    case SessionEnd::unavailable: return "backend";
    case SessionEnd::stopped:
    case SessionEnd::ended_by_hook:
    case SessionEnd::killed: return "operator";
    case SessionEnd::failed: break;
    }
    return "failure";
}

std::string access_record(const SessionSummary& summary, const std::string& label,
                          std::chrono::system_clock::time_point now)
{
    const auto connected = now - std::chrono::duration_cast<std::chrono::system_clock::duration>(summary.duration);
    const auto& times = summary.times;
    const Json record = {
        {"time", utc_with_fraction(connected)},
        {"service", summary.service},
        {"session", summary.id},
        {"client", summary.client.to_string()},
        {"source", summary.source ? Json(summary.source->to_string()) : Json()},
        {"owner", text_or_null(summary.owner)},
        {"label", text_or_null(label)},
        {"instance", text_or_null(summary.instance)},
        {"upstream", text_or_null(summary.upstream)},
        {"stages", stages_of(times)},
        {"waiting", seconds_or_null(times.waiting)},
        {"start", seconds_or_null(times.start)},
        {"joined", seconds_or_null(times.joined)},
        {"first_byte", seconds_or_null(times.first_byte)},
        {"bytes_up", summary.bytes_up},
        {"bytes_down", summary.bytes_down},
        {"duration", seconds(summary.duration)},
        {"end", ended_by(summary.end)},
        {"reason", to_string(summary.end)},
        {"detail", text_or_null(summary.detail)},
    };
    return record.dump(-1, ' ', true, Json::error_handler_t::replace) + '\n';
}

}  // namespace instancer::daemon
