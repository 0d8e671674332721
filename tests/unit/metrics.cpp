// SPDX-License-Identifier: MIT
// What is counted and measured, and its text.
#include <algorithm>
#include <chrono>
#include <regex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include "holds.hpp"
#include "metrics/exposition.hpp"
#include "metrics/metrics_reader.hpp"
#include "paths.hpp"
#include "pcap_reader.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;
using test_text::holds;

namespace {

std::string source(const std::string& path) { return daemon_test::contents_of(test_paths::sources + "/" + path); }

/// A service with all that can be measured.
class Measured {
public:
    Measured() : counted(metrics.of(ServiceSettings("web", Mode::exec))) {}

    std::string text()
    {
        MetricsMoment moment;
        moment.loop_delays = {2ms};
        moment.services.emplace().emplace_back(counted, gauges);
        return metrics.text(moment, unadmitted);
    }

    /// Of a sample whose labels follow those of the service.
    bool has(const std::string& name, const std::string& value, const std::string& labels = {})
    {
        return holds(text(), "\n" + name + "{service=\"web\",mode=\"exec\"" + labels + "} " + value + "\n");
    }

    Metrics metrics;
    ServiceMetrics& counted;
    ServiceGauges gauges;
    UnadmittedLimit unadmitted{7};
};

SessionSummary ended(SessionEnd end, bool joined = false)
{
    SessionSummary summary;
    summary.service = "web";
    summary.end = end;
    if (joined)
        summary.times.joined = 1ms;
    return summary;
}

}  // namespace

TEST_CASE("metrics: the page has the table of all as the program has it")
{
    INFO("metrics.md should hold:\n" << metric_table());
    CHECK(source("apps/instancerd/doc/metrics.md").find("\n|---|---|---|---|\n" + metric_table() + "\n") !=
          std::string::npos);
}

TEST_CASE("metrics: each is exported, with its kind, and nothing else is")
{
    Measured measured;
    measured.gauges.bans = 2;
    measured.gauges.places.emplace_back("proof of work", 0, 3);
    const auto text = measured.text();
    std::set<std::string> exported;
    const std::regex head("(^|\n)# TYPE ([a-z_]+) ([a-z]+)\n");
    for (std::sregex_iterator found(text.begin(), text.end(), head), end; found != end; ++found) {
        const auto& families = metric_families();
        const auto family = std::find_if(families.begin(), families.end(),
                                         [&](const auto* one) { return one->name == (*found)[2].str(); });
        CAPTURE((*found)[2].str());
        REQUIRE(family != families.end());
        CHECK(name_of((*family)->kind) == (*found)[3].str());
        CHECK(exported.emplace((*family)->name).second);
        const auto sample =
            "\n" + std::string((*family)->name) + ((*family)->kind == MetricFamily::Kind::histogram ? "_count" : "");
        CHECK(text.find(sample + ((*family)->labels.empty() ? " " : "{")) != std::string::npos);
    }
    CHECK(exported.size() == metric_families().size());
}

TEST_CASE("metrics: the dashboard and the alerts use what is exported")
{
    std::set<std::string> exported;
    for (const auto* family : metric_families())
        for (const std::string suffix : {"", "_bucket", "_sum", "_count"})
            if (suffix.empty() || family->kind == MetricFamily::Kind::histogram)
                exported.insert(std::string(family->name) + suffix);
    for (const std::string file : {"alerts.yml", "grafana.json"}) {
        const auto text = source("apps/instancerd/packaging/" + file);
        std::size_t count = 0;
        const std::regex name("instancerd_[a-z_]+");
        for (std::sregex_iterator found(text.begin(), text.end(), name), end; found != end; ++found, ++count) {
            CAPTURE(found->str());
            CHECK(exported.contains(found->str()));
        }
        CHECK(count > 5);
    }
}

TEST_CASE("metrics: sessions count from their beginning to their end, by its reason")
{
    Measured measured;
    for (int i = 0; i < 5; ++i)
        measured.counted.session_started("web", 1, ClientInfo());
    measured.counted.session_ended(ended(SessionEnd::completed, true));
    measured.counted.session_ended(ended(SessionEnd::culled, true));
    measured.counted.session_ended(ended(SessionEnd::limit_reached));
    measured.counted.session_ended(ended(SessionEnd::client_left));
    CHECK(measured.has("instancerd_sessions_started_total", "5"));
    CHECK(measured.has("instancerd_sessions", "1"));
    CHECK(measured.has("instancerd_sessions_ended_total", "1", ",reason=\"client left\""));
    CHECK(measured.has("instancerd_sessions_ended_total", "1", ",reason=\"refused\""));
    CHECK(measured.has("instancerd_refusals_total", "1", ",reason=\"refused\""));
    CHECK(measured.has("instancerd_refusals_total", "0", ",reason=\"culled\""));
    CHECK(measured.text().find("refusals_total{service=\"web\",mode=\"exec\",reason=\"client left\"}") ==
          std::string::npos);
}

TEST_CASE("metrics: times fall into buckets that hold those before them")
{
    Measured measured;
    for (const auto time : {1ms, 2ms, 40ms, 400'000ms})
        measured.counted.instance_ready("web", "one", time);
    CHECK(measured.has("instancerd_instance_start_seconds_bucket", "1", ",le=\"0.001\""));
    CHECK(measured.has("instancerd_instance_start_seconds_bucket", "2", ",le=\"0.0025\""));
    CHECK(measured.has("instancerd_instance_start_seconds_bucket", "3", ",le=\"0.05\""));
    CHECK(measured.has("instancerd_instance_start_seconds_bucket", "3", ",le=\"300\""));
    CHECK(measured.has("instancerd_instance_start_seconds_bucket", "4", ",le=\"+Inf\""));
    CHECK(measured.has("instancerd_instance_start_seconds_count", "4"));
    CHECK(measured.has("instancerd_instance_start_seconds_sum", "400.043"));
}

TEST_CASE("metrics: a session's times count once it is joined, and its first byte once it has ended")
{
    Measured measured;
    SessionTimes times;
    times.waiting = 2s;
    times.joined = 3s;
    measured.counted.session_joined("web", 1, times);
    CHECK(measured.has("instancerd_queue_wait_seconds_sum", "2"));
    CHECK(measured.has("instancerd_session_join_seconds_sum", "3"));
    CHECK(measured.has("instancerd_session_first_byte_seconds_count", "0"));
    auto summary = ended(SessionEnd::completed, true);
    summary.times.first_byte = 4s;
    measured.counted.session_ended(summary);
    CHECK(measured.has("instancerd_session_first_byte_seconds_sum", "4"));
    CHECK(measured.has("instancerd_session_join_seconds_count", "1"));
}

TEST_CASE("metrics: bytes of instances that have ended and of those that run are one sum")
{
    Measured measured;
    InstanceSummary gone;
    gone.end = InstanceEnd::expired;
    gone.bytes_up = 10;
    gone.bytes_down = 20;
    measured.counted.instance_started("web", "one", "owner");
    measured.counted.instance_ended(gone);
    measured.gauges.traffic.bytes_up = 1;
    measured.gauges.load.instances = 3;
    measured.gauges.load.delayed_starts = 4;
    measured.gauges.waiting = 5;
    CHECK(measured.has("instancerd_bytes_total", "11", ",direction=\"up\""));
    CHECK(measured.has("instancerd_bytes_total", "20", ",direction=\"down\""));
    CHECK(measured.has("instancerd_instances_started_total", "1"));
    CHECK(measured.has("instancerd_instances_ended_total", "1", ",reason=\"expired\""));
    CHECK(measured.has("instancerd_instances", "3"));
    CHECK(measured.has("instancerd_queue_length", "9"));
}

TEST_CASE("metrics: proofs, warm hits, calls of the backend, bans and places")
{
    Measured measured;
    for (const auto step : {ProofStep::asked, ProofStep::asked, ProofStep::solved, ProofStep::failed})
        measured.counted.proof("web", step);
    measured.counted.instance_claimed("web", "one", "owner");
    measured.counted.backend_called("web", "open", false);
    measured.counted.backend_called("web", "open", true);
    measured.gauges.places.emplace_back("proof of work", 1, 3);
    measured.gauges.places.emplace_back("proof of work", 0, 4);
    measured.gauges.bans = 6;
    CHECK(measured.has("instancerd_proofs_asked_total", "2"));
    CHECK(measured.has("instancerd_proofs_solved_total", "1"));
    CHECK(measured.has("instancerd_proofs_failed_total", "1"));
    CHECK(measured.has("instancerd_warm_hits_total", "1"));
    CHECK(measured.has("instancerd_backend_calls_total", "2", ",call=\"open\""));
    CHECK(measured.has("instancerd_backend_errors_total", "1", ",call=\"open\""));
    CHECK(measured.has("instancerd_stage_places", "1", ",stage=\"proof of work\""));
    CHECK(measured.has("instancerd_stage_places_limit", "7", ",stage=\"proof of work\""));
    CHECK(measured.has("instancerd_bans", "6"));
    CHECK(holds(measured.text(), "\ninstancerd_unadmitted_connections_limit 7\n"));
    CHECK(holds(measured.text(), "\ninstancerd_event_loop_delay_seconds{worker=\"0\"} 0.002\n"));
}

TEST_CASE("metrics: what could end a label's value is escaped")
{
    Exposition out;
    out.sample(families::sessions, {{"service", "a\"b\\c\nd"}}, 1);
    CHECK(out.text() == "instancerd_sessions{service=\"a\\\"b\\\\c\\nd\"} 1\n");
}

TEST_CASE("metrics: a worker that does not answer is not waited for longer than agreed")
{
    Metrics metrics;
    const UnadmittedLimit unadmitted(0);
    auto& counted = metrics.of(ServiceSettings("web", Mode::exec));
    Workers workers(2);
    const MetricsReader reader(workers, metrics, unadmitted, [&] {
        std::vector<MetricsMoment::Service> all;
        all.emplace_back(counted, ServiceGauges());
        return all;
    });
    SUBCASE("none answers, and the counters are there")
    {
        const auto text = reader.text(10ms);
        CHECK(holds(text, "\ninstancerd_sessions_started_total{"));
        CHECK(text.find("instancerd_queue_length") == std::string::npos);
        CHECK(text.find("instancerd_bytes_total") == std::string::npos);
        CHECK(holds(text, "\ninstancerd_event_loop_delay_seconds{worker=\"1\"} 0.0"));
    }
    SUBCASE("all answer")
    {
        std::thread running([&] { workers.run(); });
        const auto text = reader.text(20s);
        workers.stop();
        running.join();
        CHECK(holds(text, "\ninstancerd_queue_length{service=\"web\",mode=\"exec\"} 0\n"));
    }
}
