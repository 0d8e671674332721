// SPDX-License-Identifier: MIT
#include "observe/log.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spdlog/async_logger.h>
#include <spdlog/details/null_mutex.h>
#include <spdlog/details/thread_pool.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <instancer/acceptor/source.hpp>
#include <instancer/unique_fd.hpp>

#include "observe/patient_writer.hpp"

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

std::string_view first_line(std::string_view text) { return text.substr(0, text.find('\n')); }

Details fields_of_end(std::string_view reason, std::string_view detail)
{
    Details fields = {{"reason", reason}};
    if (!detail.empty())
        fields["detail"] = one_line(first_line(detail));
    return fields;
}

/// Of an owner that no list names; the list's name is there anyway.
Details own_label(const SessionInfo& session)
{
    return session.label.empty() ? Details::object() : Details{{"label", session.label}};
}

double seconds(std::chrono::nanoseconds duration) { return static_cast<double>(duration.count() / 1'000'000) / 1000; }

}  // namespace

/// Writes to standard error, from the logger's thread: a reader that does not read holds up nobody else.
class Log::Sink final : public spdlog::sinks::base_sink<spdlog::details::null_mutex> {
public:
    void close() noexcept { writer_.close(); }

private:
    void sink_it_(const spdlog::details::log_msg& message) override
    {
        spdlog::memory_buf_t line;
        formatter_->format(message, line);
        writer_.write(std::string_view(line.data(), line.size()));
    }

    void flush_() override {}

    /// A pipe or terminal that others write to as well can be full again after a poll: a description of our own does
    /// not block, and leaves theirs as it is.
    static instancer::UniqueFd open_own()
    {
        struct stat status {};
        const bool can_block =
            ::fstat(STDERR_FILENO, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode));
        return instancer::UniqueFd(can_block ? ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)
                                             : -1);
    }

    const instancer::UniqueFd own_ = open_own();
    PatientWriter writer_{own_ ? own_.get() : STDERR_FILENO};
};

Log::Log(LogLevel level, LogFormat format)
    : format_(format),
      sink_(std::make_shared<Sink>()),
      threads_(std::make_shared<spdlog::details::thread_pool>(queue_lines, 1)),
      logger_(
          std::make_shared<spdlog::async_logger>("", sink_, threads_, spdlog::async_overflow_policy::overrun_oldest)),
      displaced_told_at_((std::chrono::steady_clock::now() - displaced_pause).time_since_epoch().count())
{
    logger_->set_level(to_spdlog(level));
    logger_->set_pattern(format == LogFormat::text ? "%Y-%m-%dT%H:%M:%S.%e%z %l %v"
                                                   : R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%v)");
}

Log::~Log()
{
    report_losses();
    report_displaced(std::chrono::seconds(0));
    write_denied(denied_.take_all());
    sink_->close();
    // What it still holds of the logger must go before the logger does.
    threads_.reset();
}

void Log::set_level(LogLevel level) { logger_->set_level(to_spdlog(level)); }

void Log::name_owners(const std::string& service, Owners owners)
{
    const std::lock_guard lock(owners_mutex_);
    owners_[service] = std::move(owners);
}

std::string Log::label_of(std::string_view service, std::string_view owner) const
{
    const std::lock_guard lock(owners_mutex_);
    const auto of_service = owners_.find(service);
    if (of_service == owners_.end())
        return {};
    const auto known = of_service->second.find(owner);
    return known == of_service->second.end() ? std::string() : known->second;
}

void Log::add_owner(Details& details, std::string_view service, std::string_view owner) const
{
    if (owner.empty())
        return;
    details["owner"] = owner;
    if (auto label = label_of(service, owner); !label.empty())
        details["label"] = std::move(label);
}

Details Log::whose(const SessionInfo& session) const
{
    Details details = {{"session", session.id}, {"client", session.client.to_string()}};
    add_owner(details, session.service, session.owner);
    if (!session.upstream.empty())
        details["upstream"] = session.upstream;
    return details;
}

void Log::report_losses()
{
    const auto lost = threads_->overrun_counter() + traffic_lost_;
    auto told = losses_told_.load();
    while (lost > told && !losses_told_.compare_exchange_weak(told, lost)) {}
    if (lost > told)
        write(LogLevel::warning, LogEvent::lines_lost, {}, {},
              std::to_string(lost - told) + " log lines were lost: nobody read them in time");
}

void Log::report_displaced(std::chrono::seconds pause)
{
    using Clock = std::chrono::steady_clock;
    const auto now = Clock::now().time_since_epoch();
    auto told_at = displaced_told_at_.load();
    if (displaced_ == 0 || now - Clock::duration(told_at) < pause ||
        !displaced_told_at_.compare_exchange_strong(told_at, now.count()))
        return;
    write(LogLevel::warning, LogEvent::clients_displaced, {}, {},
          "clients that had not said who they are were reset, to make room for others: " +
              std::to_string(displaced_.exchange(0)) +
              "; limit who may connect, or raise max-unadmitted or max-unadmitted-per-source");
}

bool Log::tells_denied(const SessionSummary& summary)
{
    constexpr unsigned prefix = 64;  // What clients of IPv6 usually have to themselves.
    // The window that is over comes first.
    report_denied();
    const std::lock_guard lock(denied_mutex_);
    return denied_.count(summary.service, Source(summary.client, prefix).to_string(), DeniedTally::Clock::now());
}

void Log::report_denied()
{
    std::vector<DeniedTally::Summary> all;
    {
        const std::lock_guard lock(denied_mutex_);
        all = denied_.take(DeniedTally::Clock::now());
    }
    write_denied(all);
}

void Log::write_denied(const std::vector<DeniedTally::Summary>& all)
{
    for (const auto& summary : all)
        write(LogLevel::info, LogEvent::connections_denied, summary.service, {},
              "further connections of " + (summary.source.empty() ? "others" : summary.source) +
                  " were denied: " + std::to_string(summary.count));
}

bool Log::wants(LogLevel level) const { return logger_->should_log(to_spdlog(level)); }

void Log::write(LogLevel level, LogEvent event, std::string_view service, std::string_view instance,
                std::string_view text)
{
    write(level, event, service, instance, text, Details::object(), Details::object());
}

void Log::write(LogLevel level, LogEvent event, std::string_view service, std::string_view instance,
                std::string_view text, const nlohmann::ordered_json& details, const nlohmann::ordered_json& fields)
{
    if (!wants(level))
        return;
    // In a full queue the notice itself would be lost.
    if (threads_->queue_size() < queue_lines / 2)
        report_losses();
    report_displaced();
    report_denied();
    if (format_ == LogFormat::json) {
        Details record = {{"event", name_of(event)}};
        if (!service.empty())
            record["service"] = service;
        if (!instance.empty())
            record["instance"] = instance;
        record["message"] = one_line(text);
        record.update(fields);
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

void Log::of_session(LogLevel level, std::string_view service, std::uint64_t id, std::string_view text)
{
    write(level, level == LogLevel::info ? LogEvent::notice : LogEvent::warning, service, {}, text, Details::object(),
          {{"session", id}});
}

void Log::instance(std::string_view service, std::string_view name, std::string_view state, std::string_view owner,
                   std::chrono::nanoseconds age, std::size_t clients, std::uint64_t up, std::uint64_t down)
{
    auto details = Details::object();
    add_owner(details, service, owner);
    details.update({{"age", seconds(age)}, {"clients", clients}, {"bytes_up", up}, {"bytes_down", down}});
    write(LogLevel::info, LogEvent::instance_status, service, name, "instance is " + std::string(state), details,
          {{"state", state}});
}

void Log::traffic(const SessionInfo& session, bool from_client, std::string_view text)
{
    if (threads_->queue_size() >= queue_lines / 2) {
        ++traffic_lost_;
        return;
    }
    if (format_ == LogFormat::json)
        return write(LogLevel::info, LogEvent::traffic, session.service, session.instance, text, Details::object(),
                     {{"session", session.id}, {"direction", from_client ? "up" : "down"}});
    write(LogLevel::info, LogEvent::traffic, session.service, session.instance,
          "session " + std::to_string(session.id) + (from_client ? " > " : " < ") + std::string(text));
}

void Log::session(const SessionStatus& session)
{
    auto details = whose(session);
    details.update({{"age", seconds(session.age)}, {"bytes_up", session.bytes_up}, {"bytes_down", session.bytes_down}});
    write(LogLevel::info, LogEvent::session_status, session.service, session.instance,
          session.joined ? "session is open" : "session waits for its instance", details, own_label(session));
}

void Log::upstream(std::string_view service, const UpstreamStatus& status)
{
    const Details details = {{"connections", status.connections}, {"weight", status.weight}};
    write(LogLevel::info, LogEvent::upstream_status, service, {},
          "upstream " + status.name + " is " + std::string(to_string(status.state)), details,
          {{"upstream", status.name}, {"state", to_string(status.state)}});
}

void Log::listening(std::string_view service, std::string_view address)
{
    observers_.listening(service, address);
    write(LogLevel::info, LogEvent::listening, service, {}, "listening on " + std::string(address), Details::object(),
          {{"address", address}});
}

void Log::session_started(std::string_view service, std::uint64_t id, const ClientInfo& client)
{
    observers_.session_started(service, id, client);
    if (!wants(LogLevel::debug))
        return;
    const Details details = {{"session", id}, {"client", client.to_string()}};
    write(LogLevel::debug, LogEvent::session_started, service, {}, "session started", details, Details::object());
}

void Log::session_ended(const SessionSummary& summary)
{
    observers_.session_ended(summary);
    // Whoever brings this about brings it about any number of times.
    const bool counted =
        summary.end == SessionEnd::displaced || (summary.end == SessionEnd::access_denied && !tells_denied(summary));
    const auto level = counted ? LogLevel::debug : LogLevel::info;
    if (summary.end == SessionEnd::displaced) {
        ++displaced_;
        report_displaced();
    }
    if (!wants(level))
        return;
    auto details = whose(summary);
    details["duration"] = seconds(summary.duration);
    details["bytes_up"] = summary.bytes_up;
    details["bytes_down"] = summary.bytes_down;
    auto fields = fields_of_end(to_string(summary.end), summary.detail);
    fields.update(own_label(summary));
    auto text = "session ended: " + std::string(to_string(summary.end));
    if (!summary.detail.empty())
        text += ": " + std::string(first_line(summary.detail));
    write(level, LogEvent::session_ended, summary.service, summary.instance, text, details, fields);
}

void Log::instance_started(std::string_view service, std::string_view name, std::string_view owner)
{
    observers_.instance_started(service, name, owner);
    auto details = Details::object();
    add_owner(details, service, owner);
    write(LogLevel::info, LogEvent::instance_started, service, name,
          owner.empty() ? "instance started, warm" : "instance started", details, Details::object());
}

void Log::instance_claimed(std::string_view service, std::string_view name, std::string_view owner)
{
    observers_.instance_claimed(service, name, owner);
    auto details = Details::object();
    add_owner(details, service, owner);
    write(LogLevel::info, LogEvent::instance_claimed, service, name, "instance got its owner", details,
          Details::object());
}

void Log::instance_adopted(std::string_view service, std::string_view name, std::string_view owner)
{
    observers_.instance_adopted(service, name, owner);
    auto details = Details::object();
    add_owner(details, service, owner);
    write(LogLevel::info, LogEvent::instance_adopted, service, name, "instance of a previous run taken over", details,
          Details::object());
}

void Log::instance_ended(const InstanceSummary& summary)
{
    observers_.instance_ended(summary);
    auto details = Details::object();
    add_owner(details, summary.service, summary.owner);
    details["age"] = seconds(summary.age);
    details["bytes_up"] = summary.bytes_up;
    details["bytes_down"] = summary.bytes_down;
    auto text = "instance ended: " + std::string(to_string(summary.end));
    const auto lines = split(summary.detail, '\n');
    if (!lines.front().empty())
        text += ": " + lines.front();
    // A warm instance that exits had no client whose doing it could be.
    const bool failed = summary.end == InstanceEnd::start_failed || summary.end == InstanceEnd::start_timeout ||
                        (summary.end == InstanceEnd::exited && summary.owner.empty());
    const auto level = failed ? LogLevel::warning : LogLevel::info;
    write(level, LogEvent::instance_ended, summary.service, summary.name, text, details,
          fields_of_end(to_string(summary.end), summary.detail));
    for (std::size_t i = 1; i < lines.size(); ++i)
        if (!lines[i].empty())
            write(level, LogEvent::output, summary.service, summary.name, "| " + lines[i]);
}

void Log::output(std::string_view service, std::string_view instance, std::string_view line)
{
    observers_.output(service, instance, line);
    write(LogLevel::info, LogEvent::output, service, instance, "| " + std::string(line));
}

void Log::warning(std::string_view service, std::string_view text)
{
    observers_.warning(service, text);
    write(LogLevel::warning, LogEvent::warning, service, {}, text);
}

void Log::session_warning(std::string_view service, std::uint64_t id, std::string_view text)
{
    observers_.session_warning(service, id, text);
    of_session(LogLevel::warning, service, id, "session " + std::to_string(id) + ": " + std::string(text));
}

void Log::notice(std::string_view service, std::string_view text)
{
    observers_.notice(service, text);
    write(LogLevel::info, LogEvent::notice, service, {}, text);
}

}  // namespace instancer::daemon
