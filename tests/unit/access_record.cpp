// SPDX-License-Identifier: MIT
// The lines of the access log.
#include <chrono>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "observe/access_record.hpp"
#include "paths.hpp"
#include "pcap_reader.hpp"

using namespace instancer;
using namespace instancer::daemon;
using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

namespace {

/// What the page on operating says of it.
std::string section()
{
    const auto page = daemon_test::contents_of(test_paths::sources + "/apps/instancerd/doc/operating.md");
    const auto begin = page.find("\n## Access log\n");
    REQUIRE(begin != std::string::npos);
    return page.substr(begin, page.find("\n## ", begin + 1) - begin);
}

Json record_of(const SessionSummary& summary, const std::string& label = {})
{
    const auto line = access_record(summary, label, std::chrono::system_clock::time_point(1'796'026'500'250ms));
    REQUIRE(line.back() == '\n');
    CHECK(line.find('\n') == line.size() - 1);
    return Json::parse(line);
}

}  // namespace

TEST_CASE("access log: a line tells all that is known of a session")
{
    SessionSummary summary;
    summary.id = 7;
    summary.service = "web";
    summary.client = ClientInfo({asio::ip::make_address("2001:db8::5"), 5000}, {asio::ip::make_address("::1"), 80});
    summary.source.emplace(summary.client, 64);
    summary.owner = "00ff";
    summary.instance = "pid 5";
    summary.end = SessionEnd::client_reset;
    summary.detail = "more";
    summary.bytes_up = 3;
    summary.bytes_down = 4;
    summary.duration = 1500ms;
    summary.times.stages[0].name = "authentication";
    summary.times.stages[0].took = 250ms;
    summary.times.stage_count = 1;
    summary.times.waiting = 10ms;
    summary.times.start = 0ms;
    summary.times.joined = 300ms;
    summary.times.first_byte = 301ms + 1200ns;
    const auto record = record_of(summary, "Team \"Red\"\n");
    CHECK(record["time"] == "2026-11-30T08:14:58.750Z");
    CHECK(record["service"] == "web");
    CHECK(record["session"] == 7);
    CHECK(record["client"] == "[2001:db8::5]:5000");
    CHECK(record["source"] == "2001:db8::/64");
    CHECK(record["owner"] == "00ff");
    CHECK(record["label"] == "Team \"Red\"\n");
    CHECK(record["instance"] == "pid 5");
    CHECK(record["upstream"].is_null());
    CHECK(record["stages"] == Json{{"authentication", 0.25}});
    CHECK(record["waiting"] == 0.01);
    CHECK(record["start"] == 0.0);
    CHECK(record["joined"] == 0.3);
    CHECK(record["first_byte"] == 0.301001);
    CHECK(record["bytes_up"] == 3);
    CHECK(record["bytes_down"] == 4);
    CHECK(record["duration"] == 1.5);
    CHECK(record["end"] == "client");
    CHECK(record["reason"] == "client reset");
    CHECK(record["detail"] == "more");
}

TEST_CASE("access log: every line has the fields that the page names, in its order")
{
    SessionSummary empty;
    empty.detail = "\xff\x1b[31m";
    const auto page = section();
    std::size_t at = 0;
    const auto record = record_of(empty);
    for (const auto& [field, value] : record.items()) {
        CAPTURE(field);
        const auto found = page.find("`" + field + "`", at);
        CHECK(found != std::string::npos);
        at = found == std::string::npos ? at : found;
    }
    CHECK(record["joined"].is_null());
    CHECK(record["stages"] == Json::object());
}

TEST_CASE("access log: somebody brings each session to its end, and the page names them")
{
    const auto page = section();
    for (int end = 0; end <= static_cast<int>(SessionEnd::failed); ++end) {
        const auto who = ended_by(static_cast<SessionEnd>(end));
        CAPTURE(who);
        CHECK((static_cast<SessionEnd>(end) == SessionEnd::failed) == (who == "failure"));
        CHECK(page.find("`" + std::string(who) + "`") != std::string::npos);
    }
}
