// SPDX-License-Identifier: MIT
#include "log.hpp"

#include <cstdio>

#include <nlohmann/json.hpp>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace instancer::daemon {

namespace {

using Details = nlohmann::ordered_json;

spdlog::level::level_enum to_spdlog(LogLevel level)
{
    switch (level) {
    case LogLevel::debug: return spdlog::level::debug;
    case LogLevel::info: return spdlog::level::info;
    case LogLevel::warning: return spdlog::level::warn;
    case LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

double seconds(std::chrono::nanoseconds duration)
{
    return static_cast<double>(duration.count() / 1'000'000) / 1000;
}

/// The length of the UTF-8 character at the start of `text` that may be printed as it is; 0 for anything else.
std::size_t printable(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const auto continues = [&](std::size_t i) { return (byte(i) & 0xc0) == 0x80; };
    const auto first = byte(0), second = byte(1);
    if (first < 0x80)
        return first >= 0x20 && first != 0x7f;
    if (first >= 0xc2 && first <= 0xdf)  // U+0080 to U+009F are control characters.
        return continues(1) && (first > 0xc2 || second >= 0xa0) ? 2 : 0;
    if (first >= 0xe0 && first <= 0xef) {
        const bool shortest = first > 0xe0 || second >= 0xa0, no_surrogate = first != 0xed || second < 0xa0;
        return continues(1) && continues(2) && shortest && no_surrogate ? 3 : 0;
    }
    if (first >= 0xf0 && first <= 0xf4) {
        const bool in_range = (first > 0xf0 || second >= 0x90) && (first < 0xf4 || second < 0x90);
        return continues(1) && continues(2) && continues(3) && in_range ? 4 : 0;
    }
    return 0;
}

}  // namespace

std::string one_line(std::string_view text, std::size_t limit)
{
    std::string line;
    std::size_t i = 0;
    while (i < text.size() && i < limit) {
        if (const auto length = printable(text.substr(i))) {
            line += text.substr(i, length);
            i += length;
            continue;
        }
        char escape[5];
        std::snprintf(escape, sizeof escape, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(text[i])));
        line += text[i] == '\t' ? "\\t" : text[i] == '\n' ? "\\n" : text[i] == '\r' ? "\\r" : escape;
        ++i;
    }
    if (i < text.size())
        line += " ... (" + std::to_string(text.size() - i) + " bytes more)";
    return line;
}

Log::Log(LogLevel level, LogFormat format)
    : format_(format), logger_(std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_mt>()))
{
    logger_->set_level(to_spdlog(level));
    logger_->set_pattern(format == LogFormat::text ? "%Y-%m-%dT%H:%M:%S.%e%z %l %v"
                                                   : R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)");
}

Log::~Log() = default;

bool Log::wants(LogLevel level) const
{
    return logger_->should_log(to_spdlog(level));
}

void Log::write(LogLevel level, std::string_view service, std::string_view instance, std::string_view text)
{
    write(level, service, instance, text, Details::object());
}

void Log::write(LogLevel level, std::string_view service, std::string_view instance, std::string_view text,
                const nlohmann::ordered_json& details)
{
    if (!wants(level))
        return;
    if (format_ == LogFormat::json) {
        auto record = Details::object();
        if (!service.empty())
            record["service"] = service;
        if (!instance.empty())
            record["instance"] = instance;
        record["message"] = one_line(text);
        record.update(details);
        // Without its opening brace: the pattern has begun the object already.
        logger_->log(to_spdlog(level),
                     std::string_view(record.dump(-1, ' ', true, Details::error_handler_t::replace)).substr(1));
        return;
    }
    std::string line(service);
    if (!instance.empty())
        line += "/" + std::string(instance);
    line += line.empty() ? "" : ": ";
    line += one_line(text);
    for (const auto& [key, value] : details.items())
        line += " " + key + "=" + one_line(value.is_string() ? value.get<std::string>() : value.dump());
    logger_->log(to_spdlog(level), std::string_view(line));
}

void Log::instance(std::string_view service, std::string_view name, std::string_view state, std::string_view owner,
                   std::chrono::nanoseconds age, std::size_t clients, std::uint64_t up, std::uint64_t down)
{
    const Details details = {{"owner", owner},    {"age", seconds(age)}, {"clients", clients},
                             {"bytes_up", up}, {"bytes_down", down}};
    write(LogLevel::info, service, name, "instance is " + std::string(state), details);
}

void Log::listening(std::string_view service, std::string_view address)
{
    write(LogLevel::info, service, {}, "listening on " + std::string(address));
}

void Log::session_started(std::string_view service, std::uint64_t id, const ClientInfo& client)
{
    if (!wants(LogLevel::debug))
        return;
    const Details details = {{"session", id}, {"client", client.to_string()}};
    write(LogLevel::debug, service, {}, "session started", details);
}

void Log::session_ended(const SessionSummary& summary)
{
    if (!wants(LogLevel::info))
        return;
    Details details = {{"session", summary.id}, {"client", summary.client.to_string()}};
    if (!summary.owner.empty())
        details["owner"] = summary.owner;
    details["duration"] = seconds(summary.duration);
    details["bytes_up"] = summary.bytes_up;
    details["bytes_down"] = summary.bytes_down;
    auto text = "session ended: " + std::string(to_string(summary.end));
    if (!summary.detail.empty())
        text += ": " + summary.detail.substr(0, summary.detail.find('\n'));
    write(LogLevel::info, summary.service, summary.instance, text, details);
}

void Log::instance_started(std::string_view service, std::string_view name, std::string_view owner)
{
    const Details details = owner.empty() ? Details::object() : Details{{"owner", owner}};
    write(LogLevel::info, service, name, owner.empty() ? "instance started, warm" : "instance started", details);
}

void Log::instance_claimed(std::string_view service, std::string_view name, std::string_view owner)
{
    write(LogLevel::info, service, name, "instance got its owner", Details{{"owner", owner}});
}

void Log::instance_adopted(std::string_view service, std::string_view name, std::string_view owner)
{
    write(LogLevel::info, service, name, "instance of a previous run taken over", Details{{"owner", owner}});
}

void Log::instance_ended(const InstanceSummary& summary)
{
    Details details = Details::object();
    if (!summary.owner.empty())
        details["owner"] = summary.owner;
    details["age"] = seconds(summary.age);
    details["bytes_up"] = summary.bytes_up;
    details["bytes_down"] = summary.bytes_down;
    auto text = "instance ended: " + std::string(to_string(summary.end));
    const auto lines = split(summary.detail, '\n');
    if (!lines.front().empty())
        text += ": " + lines.front();
    const bool failed = summary.end == InstanceEnd::start_failed || summary.end == InstanceEnd::start_timeout;
    const auto level = failed ? LogLevel::warning : LogLevel::info;
    write(level, summary.service, summary.name, text, details);
    for (std::size_t i = 1; i < lines.size(); ++i)
        if (!lines[i].empty())
            write(level, summary.service, summary.name, "| " + lines[i]);
}

void Log::output(std::string_view service, std::string_view instance, std::string_view line)
{
    write(LogLevel::info, service, instance, "| " + std::string(line));
}

void Log::warning(std::string_view service, std::string_view text)
{
    write(LogLevel::warning, service, {}, text);
}

void Log::notice(std::string_view service, std::string_view text)
{
    write(LogLevel::info, service, {}, text);
}

}  // namespace instancer::daemon
