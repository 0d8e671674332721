// SPDX-License-Identifier: MIT
#include "observe/log_event.hpp"

#include <algorithm>

namespace instancer::daemon {

namespace {

constexpr LogEventEntry table[] = {
    {LogEvent::listening, "listening", "a listener is open"},
    {LogEvent::session_started, "session_started", "a client was taken in; at `debug`"},
    {LogEvent::session_ended, "session_ended", "a session has ended, for `reason`"},
    {LogEvent::session_status, "session_status", "a session that goes on; after SIGUSR1"},
    {LogEvent::instance_started, "instance_started", "an instance was started; without `owner` a warm one"},
    {LogEvent::instance_claimed, "instance_claimed", "a warm instance got its owner"},
    {LogEvent::instance_adopted, "instance_adopted", "an instance of a previous run was taken over"},
    {LogEvent::instance_ended, "instance_ended", "an instance has ended, for `reason`"},
    {LogEvent::instance_status, "instance_status", "an instance that runs; after SIGUSR1"},
    {LogEvent::upstream_status, "upstream_status", "an upstream; after SIGUSR1"},
    {LogEvent::output, "output", "a line of an instance's standard error, or of what explains its end"},
    {LogEvent::traffic, "traffic", "bytes of a session, with `--traffic-log`"},
    {LogEvent::connections_denied, "connections_denied", "how many further connections were denied"},
    {LogEvent::clients_displaced, "clients_displaced", "how many clients were reset to make room for others"},
    {LogEvent::lines_lost, "lines_lost", "how many lines nobody has read in time"},
    {LogEvent::notice, "notice", "news that need no action"},
    {LogEvent::warning, "warning", "something that an operator can mend"},
    {LogEvent::error, "error", "the daemon cannot serve, or go on"},
};

}  // namespace

std::span<const LogEventEntry> log_events() { return table; }

std::string_view name_of(LogEvent event)
{
    const auto found =
        std::find_if(std::begin(table), std::end(table), [event](const auto& entry) { return entry.event == event; });
    return found->name;
}

std::string log_event_table()
{
    std::string rows;
    for (const auto& entry : table)
        rows += "| `" + std::string(entry.name) + "` | " + std::string(entry.meaning) + " |\n";
    return rows;
}

}  // namespace instancer::daemon
