// SPDX-License-Identifier: MIT
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <instancer/event_list.hpp>

using namespace instancer;

namespace {

class Recorder final : public Events {
public:
    std::string heard;

private:
    void listening(std::string_view, std::string_view address) override { note("listening", address); }
    void session_started(std::string_view, std::uint64_t id, const ClientInfo&) override
    {
        note("session started", std::to_string(id));
    }
    void session_joined(std::string_view, std::uint64_t id, const SessionTimes&) override
    {
        note("session joined", std::to_string(id));
    }
    void session_ended(const SessionSummary& summary) override { note("session ended", std::to_string(summary.id)); }
    void instance_started(std::string_view, std::string_view name, std::string_view) override { note("started", name); }
    void instance_ready(std::string_view, std::string_view name, std::chrono::nanoseconds) override
    {
        note("ready", name);
    }
    void instance_claimed(std::string_view, std::string_view name, std::string_view) override { note("claimed", name); }
    void instance_adopted(std::string_view, std::string_view name, std::string_view) override { note("adopted", name); }
    void instance_ended(const InstanceSummary& summary) override { note("ended", summary.name); }
    void output(std::string_view, std::string_view, std::string_view line) override { note("output", line); }
    void proof(std::string_view, ProofStep step) override { note("proof", step == ProofStep::solved ? "solved" : ""); }
    void backend_called(std::string_view, std::string_view call, bool failed) override
    {
        note("called", std::string(call) + (failed ? " in vain" : ""));
    }
    void session_warning(std::string_view, std::uint64_t id, std::string_view text) override
    {
        note("warning of " + std::to_string(id), text);
    }
    void warning(std::string_view, std::string_view text) override { note("warning", text); }
    void notice(std::string_view, std::string_view text) override { note("notice", text); }

    void note(std::string_view what, std::string_view detail)
    {
        heard += std::string(what) + ": " + std::string(detail) + "\n";
    }
};

}  // namespace

TEST_CASE("every observer of a list hears everything")
{
    Recorder first, second;
    EventList list;
    list.add(first);
    list.add(second);
    SessionSummary session;
    session.id = 7;
    InstanceSummary instance;
    instance.name = "one";
    list.listening("service", "127.0.0.1:1");
    list.session_started("service", 7, ClientInfo());
    list.session_joined("service", 7, SessionTimes());
    list.session_ended(session);
    list.instance_started("service", "one", "owner");
    list.instance_ready("service", "one", std::chrono::seconds(1));
    list.instance_claimed("service", "two", "owner");
    list.instance_adopted("service", "three", "owner");
    list.instance_ended(instance);
    list.output("service", "one", "a line");
    list.proof("service", ProofStep::solved);
    list.backend_called("service", "open", true);
    list.warning("service", "a disk is full");
    list.session_warning("service", 7, "it is slow");
    list.notice("service", "it has room again");
    CHECK(first.heard == "listening: 127.0.0.1:1\nsession started: 7\nsession joined: 7\nsession ended: 7\n"
                         "started: one\nready: one\nclaimed: two\n"
                         "adopted: three\nended: one\noutput: a line\nproof: solved\ncalled: open in vain\n"
                         "warning: a disk is full\nwarning of 7: it is slow\n"
                         "notice: it has room again\n");
    CHECK(second.heard == first.heard);
}
