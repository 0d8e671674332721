// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace instancer::daemon {

/// What a line of the log tells of.
enum class LogEvent {
    listening,
    session_started,
    session_ended,
    session_status,
    instance_started,
    instance_claimed,
    instance_adopted,
    instance_ended,
    instance_status,
    upstream_status,
    output,
    traffic,
    connections_denied,
    clients_displaced,
    lines_lost,
    notice,
    warning,
    error,
};

/// Its name in the log, and when there is such a line.
class LogEventEntry {
public:
    LogEvent event;
    std::string_view name;
    std::string_view meaning;
};

/// In the order in which they are explained.
std::span<const LogEventEntry> log_events();

std::string_view name_of(LogEvent event);

/// The rows of the table in the documentation.
std::string log_event_table();

}  // namespace instancer::daemon
