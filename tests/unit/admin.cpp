// SPDX-License-Identifier: MIT
// The parts of the admin address that need no daemon.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <admin/endpoints.hpp>
#include <admin/event_feed.hpp>
#include <admin/page.hpp>
#include <config/command_line.hpp>
#include <ctl/ctl_table.hpp>
#include <observe/log.hpp>
#include <status/event_ring.hpp>

#include "paths.hpp"

using namespace instancer::daemon;
using instancer::InstanceSummary;
using instancer::SessionStatus;

namespace {

std::string contents(const std::string& path)
{
    std::ostringstream text;
    text << std::ifstream(test_paths::sources + "/" + path).rdbuf();
    return text.str();
}

using Sessions = std::vector<SessionStatus>;

HttpRequest asking(const std::string& name, const std::string& value)
{
    HttpRequest request;
    request.query.emplace(name, value);
    return request;
}

SessionStatus session(const std::string& service, std::uint64_t id)
{
    SessionStatus status;
    status.service = service;
    status.id = id;
    status.stage = "serving";
    return status;
}

}  // namespace

TEST_CASE("the page on the API has the reference as the program has it")
{
    INFO("api.md should hold:\n" << api_reference());
    CHECK(contents("apps/instancerd/doc/api.md").find("\n\n" + api_reference()) != std::string::npos);
}

TEST_CASE("every reference of the OpenAPI document leads somewhere")
{
    const auto document = Json::parse(openapi_document());
    const std::string mark = "\"$ref\": \"#/components/schemas/";
    const auto& text = openapi_document();
    std::size_t count = 0;
    for (auto place = text.find(mark); place != text.npos; place = text.find(mark, place + 1), ++count) {
        const auto begin = place + mark.size();
        const auto name = text.substr(begin, text.find('"', begin) - begin);
        CHECK_MESSAGE(document["components"]["schemas"].contains(name), name);
    }
    CHECK(count > 20);
    CHECK(document["paths"].size() == endpoints().size());
}

TEST_CASE("a list goes on after a place that has gone")
{
    const Log log(LogLevel::error, LogFormat::text);
    auto page = PageRequest::parse(asking("limit", "2"));
    REQUIRE(page);
    const Sessions sessions = {session("web", 10), session("shell", 3), session("web", 9)};
    const auto first = page->page_of(sessions, "sessions", JsonView(log));
    CHECK(first["sessions"][0]["id"] == "shell/3");
    CHECK(first["sessions"][1]["id"] == "web/9");
    CHECK(first["next"] == "web/9");
    page->after = PagePlace::parse("web/9");
    CHECK(page->page_of(Sessions{session("web", 10)}, "sessions", JsonView(log))["sessions"][0]["id"] == "web/10");
    CHECK(page->page_of(Sessions{session("web", 8)}, "sessions", JsonView(log))["sessions"].empty());
    CHECK_FALSE(PageRequest::parse(asking("limit", "1001")));
    CHECK_FALSE(PageRequest::parse(asking("limit", "-1")));
}

TEST_CASE("a place reads as it is written")
{
    for (const std::string text : {"web", "web/17", "web/10.0.0.1:80", "web/unix:/run/a"})
        CHECK(PagePlace::parse(text).text() == text);
    CHECK(PagePlace("web", 9) < PagePlace("web", 10));
    CHECK(PagePlace("web", 10) < PagePlace("wec", 9));
}

TEST_CASE("the latest events are remembered, and output of instances is not")
{
    EventRing ring(2);
    ring.notice("web", "one");
    ring.notice("web", "two");
    InstanceSummary summary;
    summary.service = "web";
    summary.detail = "exit code 1\nFLAG{secret}";
    ring.instance_ended(summary);
    const auto events = ring.after(0, 10);
    REQUIRE(events.size() == 2);
    CHECK(events[0].id == 2);
    CHECK(events[1].detail == "exit code 1");
    CHECK(ring.after(2, 10).size() == 1);
    CHECK(ring.after(0, 1).front().id == 2);
    CHECK(ring.after(3, 10).empty());
    CHECK(ring.last_id() == 3);
}

TEST_CASE("a warning about a session names the session")
{
    EventRing ring(2);
    ring.session_warning("web", 7, "its recording cannot be written");
    const auto event = ring.after(0, 1).front();
    CHECK(event.kind == "warning");
    CHECK(event.session == 7);
    CHECK(event.detail == "its recording cannot be written");
}

TEST_CASE("a feed tells what comes, and how much it has missed")
{
    const Log log(LogLevel::error, LogFormat::text);
    EventRing ring(2);
    int woken = 0;
    {
        EventFeed feed(ring, JsonView(log), 0);
        feed.on_more([&] { ++woken; });
        CHECK(feed.take().empty());
        for (int i = 0; i < 3; ++i)
            ring.warning("web", "a\nb");
        CHECK(woken == 3);
        const auto text = feed.take();
        CHECK(text.starts_with("event: lost\ndata: {\"count\":1}\n\nid: 2\nevent: warning\ndata: {"));
        CHECK(text.find("\"detail\":\"a\"") != std::string::npos);
        CHECK(feed.take().empty());
    }
    ring.warning("web", "nobody hears");
    CHECK(woken == 3);
}

TEST_CASE("a table shows what no terminal acts upon")
{
    const auto list = Json::parse(R"({"sessions": [
        {"id": "web/1", "service": "web", "label": "\u001b[2J", "age": 3725.4, "idle": 5, "bytes_up": 123456, "owner": ""}]})");
    CHECK(table_of("sessions", list) == "ID     LABEL    AGE   IDLE  BYTES-UP  OWNER\n"
                                        "web/1  \\x1b[2J  1h2m  5s    123k      -\n");
    CHECK(table_of("bans", Json::parse(R"({"bans": []})")) == "none\n");
    CHECK(table_of("sessions", Json::parse(R"({"sessions": [], "unanswered": 2})")) ==
          "(2 sessions did not answer in time)\n");
    CHECK(line_of_event(Json::parse(R"({"id": 1, "time": "t", "event": "notice", "service": "web", "session": 0,
                                       "detail": "x"})")) == "t notice web detail=x");
}

TEST_CASE("words of ctl that fit no command are misuse")
{
    const auto kind = [](std::vector<std::string> words) {
        words.insert(words.begin(), "ctl");
        return parse_command_line(words).kind;
    };
    using Kind = Command::Kind;
    CHECK(kind({"status"}) == Kind::act);
    CHECK(kind({"-s", "unix:/run/a", "status"}) == Kind::act);
    CHECK(kind({"status", "-s", "127.0.0.1:80", "--token-file", "a"}) == Kind::act);
    CHECK(kind({"stop", "exec/1"}) == Kind::act);
    CHECK(kind({"pause", "exec"}) == Kind::act);
    CHECK(kind({"pause", "run"}) == Kind::act);
    CHECK(kind({"ban", "exec", "192.0.2.0/24", "--for", "1h", "--reason", "floods"}) == Kind::act);
    CHECK(kind({"--help"}) == Kind::print);
    for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                  {"dance"},
                                                  {"stop"},
                                                  {"stop", "exec"},
                                                  {"stop", "exec/x"},
                                                  {"stop", "exec/1", "2"},
                                                  {"status", "--follow"},
                                                  {"extend", "exec/1"},
                                                  {"ban", "exec", "192.0.2.1", "--for", "soon"},
                                                  {"status", "--x"}})
        CHECK(kind(words) == Kind::misuse);
}
