// SPDX-License-Identifier: MIT
#include "admin/admin_json.hpp"

#include <cmath>

#include <instancer/text/utc_time.hpp>

namespace instancer::daemon {

double seconds_of(std::chrono::nanoseconds duration)
{
    return std::round(std::chrono::duration<double, std::milli>(duration).count()) / 1000;
}

Json JsonView::show(const ServiceStatus& service) const
{
    auto places = Json::array();
    for (const auto& stage : service.places)
        places.push_back({{"stage", stage.stage}, {"taken", stage.taken}, {"limit", stage.limit}});
    auto options = Json::object();
    for (const auto& [name, value] : service.options)
        options[name] = value;
    return {{"name", service.name},           {"mode", service.mode},
            {"state", service.state},         {"listeners", service.listeners},
            {"condition", service.condition}, {"sessions", service.sessions},
            {"instances", service.instances}, {"max_instances", service.max_instances},
            {"queued", service.queued},       {"places", std::move(places)},
            {"options", std::move(options)}};
}

Json JsonView::show(const InstanceStatus& instance) const
{
    return {{"id", instance.service + "/" + std::to_string(instance.id)},
            {"service", instance.service},
            {"name", instance.name},
            {"owner", instance.owner},
            {"label", log_.label_of(instance.service, instance.owner)},
            {"state", instance.state},
            {"age", seconds_of(instance.age)},
            {"time_left", instance.time_left ? Json(seconds_of(*instance.time_left)) : Json()},
            {"clients", instance.clients},
            {"bytes_up", instance.bytes_up},
            {"bytes_down", instance.bytes_down}};
}

Json JsonView::show(const SessionStatus& session) const
{
    return {{"id", session.service + "/" + std::to_string(session.id)},
            {"service", session.service},
            {"client", session.client.to_string()},
            {"stage", session.stage},
            {"owner", session.owner},
            {"label", session.label.empty() ? log_.label_of(session.service, session.owner) : session.label},
            {"instance", session.instance},
            {"upstream", session.upstream},
            {"age", seconds_of(session.age)},
            {"idle", seconds_of(session.idle)},
            {"bytes_up", session.bytes_up},
            {"bytes_down", session.bytes_down}};
}

Json JsonView::show(const ServiceUpstream& upstream) const
{
    return {{"service", upstream.service},
            {"name", upstream.name},
            {"state", to_string(upstream.state)},
            {"connections", upstream.connections},
            {"weight", upstream.weight}};
}

Json JsonView::show(const ServiceBan& ban) const
{
    return {{"service", ban.service},
            {"network", ban.network.to_string()},
            {"until", to_utc(ban.until)},
            {"times", ban.times},
            {"reason", ban.reason}};
}

Json JsonView::show(const RecordedEvent& event) const
{
    return {{"id", event.id},
            {"time", to_utc(event.time)},
            {"event", event.kind},
            {"service", event.service},
            {"session", event.session},
            {"client", event.client},
            {"owner", event.owner},
            {"label", log_.label_of(event.service, event.owner)},
            {"instance", event.instance},
            {"upstream", event.upstream},
            {"reason", event.reason},
            {"detail", event.detail}};
}

Json JsonView::show(const ReloadReport& report) const
{
    auto all = Json::array();
    if (!report.plan.daemon.empty())
        all.push_back({{"service", ""}, {"action", "change"}, {"changed", descriptions_of(report.plan.daemon)}});
    for (const auto& change : report.plan.services)
        all.push_back({{"service", change.service},
                       {"action", to_string(change.action)},
                       {"changed", descriptions_of(change.options)}});
    return {{"reload", std::move(all)}, {"restarts", report.restarts()}, {"dry_run", report.dry_run}};
}

}  // namespace instancer::daemon
