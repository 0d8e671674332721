// SPDX-License-Identifier: MIT
// The metrics as Prometheus gets them.
#include <string>

#include <doctest/doctest.h>

#include <daemon.hpp>
#include <exec_words.hpp>
#include <holds.hpp>
#include <raw_client.hpp>
#include <service.hpp>
#include <temporary_directory.hpp>

using namespace daemon_test;
using service_test::eventually;
using test_text::holds;

namespace {

const Words cat = {"/bin/cat"};

/// The whole answer to a request.
std::string answer(RawClient client, const std::string& request)
{
    client.send(request + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    return client.receive_all();
}

/// A daemon whose metrics are on a Unix socket.
class Measured : public Daemon {
public:
    Measured(const TemporaryDirectory& directory, const Words& options, const Words& command = cat)
        : Daemon(exec(joined({"--metrics", "unix:" + directory.path("m")}, options), command)),
          path_(directory.path("m"))
    {
    }

    std::string metrics() const { return answer(RawClient(path_), "GET /metrics"); }

    /// Whether there is, now or soon, a sample of the service with that value.
    bool has(const std::string& name, const std::string& value, const std::string& labels = {}) const
    {
        const auto sample = "\n" + name + "{service=\"exec\",mode=\"exec\"" + labels + "} " + value + "\n";
        return eventually([&] { return metrics().find(sample) != std::string::npos; }) || holds(metrics(), sample);
    }

private:
    static Words joined(Words first, const Words& second)
    {
        first.insert(first.end(), second.begin(), second.end());
        return first;
    }

    const std::string path_;
};

}  // namespace

TEST_CASE("metrics: what happens is counted, by the service and its mode")
{
    const TemporaryDirectory directory;
    const Measured daemon(directory, {"--max-instances", "1", "--when-full", "refuse"});
    CHECK(daemon.has("instancerd_sessions", "0"));
    CHECK(daemon.has("instancerd_instances_limit", "1"));
    RawClient client(daemon.port());
    client.send("hello");
    CHECK(client.receive(5) == "hello");
    CHECK(daemon.has("instancerd_sessions", "1"));
    CHECK(daemon.has("instancerd_instances", "1"));
    CHECK(daemon.has("instancerd_instances_in_use", "1"));
    CHECK(daemon.has("instancerd_bytes_total", "5", ",direction=\"up\""));
    CHECK(daemon.has("instancerd_instance_start_seconds_count", "1"));
    CHECK(daemon.has("instancerd_session_join_seconds_count", "1"));
    CHECK(daemon.has("instancerd_backend_calls_total", "1", ",call=\"start\""));
    CHECK(RawClient(daemon.port()).receive_all() == "");
    CHECK(daemon.has("instancerd_refusals_total", "1", ",reason=\"refused\""));
    client.half_close();
    CHECK(client.receive_all() == "");
    CHECK(daemon.has("instancerd_sessions", "0"));
    CHECK(daemon.has("instancerd_instances", "0"));
    CHECK(daemon.has("instancerd_sessions_ended_total", "1", ",reason=\"completed\""));
    CHECK(daemon.has("instancerd_session_first_byte_seconds_count", "1"));
    CHECK(daemon.has("instancerd_bytes_total", "5", ",direction=\"down\""));
    const auto text = daemon.metrics();
    CHECK(holds(text, "Content-Type: text/plain; version=0.0.4; charset=utf-8"));
    CHECK(holds(text, "\ninstancerd_event_loop_delay_seconds{worker=\"0\"} "));
    CHECK(text.find("127.0.0.1") == std::string::npos);
}

TEST_CASE("metrics: warm hits, proofs of work, and places of stages")
{
    const TemporaryDirectory directory;
    const Measured daemon(directory, {"--warm", "1", "--pow", "1ms", "--pow-for", "connect", "--max-proving", "7"});
    CHECK(daemon.has("instancerd_stage_places_limit", "7", ",stage=\"proof of work\""));
    RawClient client(daemon.port());
    CHECK(daemon.has("instancerd_proofs_asked_total", "1"));
    CHECK(daemon.has("instancerd_stage_places", "1", ",stage=\"proof of work\""));
    client.send("wrong\n");
    CHECK(daemon.has("instancerd_proofs_failed_total", "1"));
    CHECK(daemon.has("instancerd_proofs_solved_total", "0"));
    CHECK(daemon.has("instancerd_warm_hits_total", "0"));
}

TEST_CASE("metrics: nothing but them is served, and nothing can be changed")
{
    const TemporaryDirectory directory;
    const auto path = directory.path("m");
    const Daemon daemon(exec({"--metrics", "unix:" + path}, cat));
    CHECK(holds(answer(RawClient(path), "GET /"), "HTTP/1.1 404 "));
    CHECK(holds(answer(RawClient(path), "POST /metrics"), "HTTP/1.1 405 "));
    CHECK(holds(answer(RawClient(path), "GET /metrics"), "HTTP/1.1 200 "));
}

TEST_CASE("metrics: an address that is taken ends the start")
{
    const TemporaryDirectory directory;
    const Daemon first(exec({"--metrics", "127.0.0.1:0"}, cat));
    const auto line = first.wait_for_line("metrics are served on ");
    const auto address = line.substr(line.rfind(' ') + 1);
    Child second(instancerd(exec({"--metrics", address}, cat)));
    CHECK(second.wait() == 1);
    CHECK(second.wait_for_line("cannot listen on " + address) != "");
}
