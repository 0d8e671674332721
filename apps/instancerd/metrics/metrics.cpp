// SPDX-License-Identifier: MIT
#include "metrics/metrics.hpp"

#include <instancer/version.hpp>

#include "metrics/exposition.hpp"
#include "modes/modes.hpp"

namespace instancer::daemon {

namespace {

using Services = std::vector<const ServiceMetrics*>;
using Moments = std::vector<MetricsMoment::Service>;

double seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

/// One sample of each service, or one histogram.
template <class Value>
void write_each(Exposition& out, const MetricFamily& family, const Services& services, Value value)
{
    out.begin(family);
    for (const auto* service : services)
        out.sample(family, {{"service", service->name}, {"mode", service->mode}}, value(*service));
}

void write_counter(Exposition& out, const MetricFamily& family, const Services& services,
                   const Counter ServiceMetrics::*counter)
{
    write_each(out, family, services,
               [=](const auto& service) { return static_cast<double>((service.*counter).value()); });
}

void write_histogram(Exposition& out, const MetricFamily& family, const Services& services,
                     const Histogram ServiceMetrics::*histogram)
{
    write_each(out, family, services, [=](const auto& service) -> const Histogram& { return service.*histogram; });
}

/// A sample for each of several counters, told apart by a label whose value is `word` of an index.
template <class Counters, class Word>
void write_counters(Exposition& out, const MetricFamily& family, const Services& services,
                    const Counters ServiceMetrics::*counters, std::string_view label, Word word)
{
    out.begin(family);
    for (const auto* service : services)
        for (std::size_t i = 0; i < (service->*counters).size(); ++i)
            if (const auto value = word(i); !value.empty())
                out.sample(family, {{"service", service->name}, {"mode", service->mode}, {label, value}},
                           static_cast<double>((service->*counters)[i].value()));
}

template <class Value>
void write_gauge(Exposition& out, const MetricFamily& family, const Moments& services, Value value)
{
    out.begin(family);
    for (const auto& service : services)
        if (const std::optional<double> measured = value(service.gauges))
            out.sample(family, {{"service", service.metrics.name}, {"mode", service.metrics.mode}}, *measured);
}

void write_bytes(Exposition& out, const Moments& services)
{
    out.begin(families::bytes);
    for (const auto& [metrics, gauges, ended] : services)
        for (const auto& [direction, count] : {std::pair("up", gauges.traffic.bytes_up + ended.bytes_up),
                                               std::pair("down", gauges.traffic.bytes_down + ended.bytes_down)})
            out.sample(families::bytes, {{"service", metrics.name}, {"mode", metrics.mode}, {"direction", direction}},
                       static_cast<double>(count));
}

/// Stages of one name, as of several routes, are one.
void write_places(Exposition& out, const MetricFamily& family, const Moments& services, std::size_t StagePlaces::*value)
{
    out.begin(family);
    for (const auto& service : services) {
        std::map<std::string, std::size_t> of_stage;
        for (const auto& places : service.gauges.places)
            of_stage[places.stage] += places.*value;
        for (const auto& [stage, count] : of_stage)
            out.sample(family, {{"service", service.metrics.name}, {"mode", service.metrics.mode}, {"stage", stage}},
                       static_cast<double>(count));
    }
}

void write_daemon(Exposition& out, const MetricsMoment& moment, const UnadmittedLimit& unadmitted)
{
    out.begin(families::build);
    out.sample(families::build, {{"version", INSTANCER_VERSION}}, 1);
    out.begin(families::loop_delay);
    for (std::size_t i = 0; i < moment.loop_delays.size(); ++i)
        out.sample(families::loop_delay, {{"worker", std::to_string(i)}}, seconds(moment.loop_delays[i]));
    out.begin(families::unadmitted);
    out.sample(families::unadmitted, {}, static_cast<double>(unadmitted.count()));
    out.begin(families::unadmitted_limit);
    out.sample(families::unadmitted_limit, {}, static_cast<double>(unadmitted.limit()));
}

void write_services(Exposition& out, const Services& services)
{
    using S = ServiceMetrics;
    const auto session_end = [](std::size_t i) { return to_string(static_cast<SessionEnd>(i)); };
    const auto refusal = [](std::size_t i) {
        const auto end = static_cast<SessionEnd>(i);
        return is_refusal(end) ? to_string(end) : std::string_view();
    };
    const auto instance_end = [](std::size_t i) { return to_string(static_cast<InstanceEnd>(i)); };
    const auto call = [](std::size_t i) { return S::calls[i]; };
    write_counter(out, families::sessions_started, services, &S::sessions_started);
    write_counters(out, families::sessions_ended, services, &S::sessions_ended, "reason", session_end);
    write_counters(out, families::refusals, services, &S::refusals, "reason", refusal);
    write_each(out, families::sessions, services, [](const S& one) { return static_cast<double>(one.sessions()); });
    write_histogram(out, families::join_time, services, &S::join_time);
    write_histogram(out, families::first_byte_time, services, &S::first_byte_time);
    write_counter(out, families::starts, services, &S::starts);
    write_counters(out, families::instances_ended, services, &S::instances_ended, "reason", instance_end);
    write_histogram(out, families::start_time, services, &S::start_time);
    write_counter(out, families::warm_hits, services, &S::warm_hits);
    write_histogram(out, families::queue_time, services, &S::queue_time);
    write_counter(out, families::proofs_asked, services, &S::proofs_asked);
    write_counter(out, families::proofs_solved, services, &S::proofs_solved);
    write_counter(out, families::proofs_failed, services, &S::proofs_failed);
    write_counters(out, families::backend_calls, services, &S::backend_calls, "call", call);
    write_counters(out, families::backend_errors, services, &S::backend_errors, "call", call);
}

void write_gauges(Exposition& out, const Moments& services)
{
    using G = ServiceGauges;
    write_gauge(out, families::instances, services, [](const G& one) { return one.load.instances; });
    write_gauge(out, families::instances_in_use, services, [](const G& one) { return one.load.in_use; });
    write_gauge(out, families::instances_limit, services, [](const G& one) { return one.load.max_instances; });
    write_bytes(out, services);
    write_gauge(out, families::queue_length, services,
                [](const G& one) { return one.load.delayed_starts + one.waiting; });
    write_places(out, families::stage_places, services, &StagePlaces::taken);
    write_places(out, families::stage_limit, services, &StagePlaces::limit);
    write_gauge(out, families::bans, services, [](const G& one) { return one.bans; });
}

}  // namespace

ServiceMetrics& Metrics::of(const ServiceSettings& service)
{
    const std::lock_guard lock(mutex_);
    auto& metrics = services_[Key(service.name, service.mode)];
    if (!metrics)
        metrics = std::make_unique<ServiceMetrics>(service.name, name_of(service.mode));
    return *metrics;
}

std::vector<const ServiceMetrics*> Metrics::all() const
{
    const std::lock_guard lock(mutex_);
    Services all;
    for (const auto& [key, metrics] : services_)
        all.push_back(metrics.get());
    return all;
}

std::string Metrics::text(const MetricsMoment& moment, const UnadmittedLimit& unadmitted) const
{
    Exposition out;
    write_daemon(out, moment, unadmitted);
    write_services(out, all());
    if (moment.services)
        write_gauges(out, *moment.services);
    return out.text();
}

}  // namespace instancer::daemon
