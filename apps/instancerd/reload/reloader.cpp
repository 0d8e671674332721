// SPDX-License-Identifier: MIT
#include "reload/reloader.hpp"

#include <algorithm>
#include <utility>

#include <asio/this_coro.hpp>

#include <instancer/backend/upstream_backend.hpp>
#include <instancer/text/exception_text.hpp>

#include "config/command_line.hpp"
#include "config/validate.hpp"

namespace instancer::daemon {

namespace {

using Action = ServiceChange::Action;
using State = ServiceList::State;

/// What the command line and its configuration say now, or all that is wrong with it.
class Reading {
public:
    Reading() = default;

    std::shared_ptr<const Settings> settings;
    std::vector<std::string> errors;
};

Reading read_settings(const std::vector<std::string>& arguments)
{
    auto command = parse_command_line(arguments);
    Reading reading;
    if (command.kind != Command::Kind::serve) {
        reading.errors.push_back(command.text);
        return reading;
    }
    auto problems = std::move(command.problems);
    for (auto& problem : validate(command.settings))
        problems.push_back(std::move(problem));
    sort(problems);
    for (const auto& problem : problems)
        reading.errors.push_back(problem.format(command.settings.file));
    reading.settings = std::make_shared<const Settings>(std::move(command.settings));
    return reading;
}

/// What operators wished of the service before holds for the one that takes its place.
void keep_wishes(RunningService& before, RunningService& now)
{
    if (before.is_paused())
        now.pause();
    if (!before.upstreams() || !now.upstreams())
        return;
    for (const auto& upstream : before.upstreams()->snapshot())
        if (upstream.state == UpstreamState::draining && upstream.weight > 0)
            now.upstreams()->drain(upstream.name, true);
}

/// Sets an event when it goes.
class Turn {
public:
    explicit Turn(std::shared_ptr<AsyncEvent> over) : over_(std::move(over)) {}
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { over_->set(); }

private:
    std::shared_ptr<AsyncEvent> over_;
};

}  // namespace

class Reloader::Running {
public:
    Running(const ServiceList::Status& status, const RunningService& running)
        : id(status.id), starting(status.state == State::starting), replaced(status.replaced), service(&running)
    {
    }

    /// The one that takes clients in: itself, or the one whose place it is about to take.
    std::optional<ServiceList::Id> serving() const { return starting ? replaced : id; }

    ServiceList::Id id;
    bool starting;
    std::optional<ServiceList::Id> replaced;
    const RunningService* service;
};

class Reloader::Successor {
public:
    explicit Successor(std::unique_ptr<RunningService> prepared) : service(std::move(prepared)) {}

    std::unique_ptr<RunningService> service;
    std::optional<ServiceList::Id> replaced;   ///< Serves until this one does.
    std::optional<ServiceList::Id> abandoned;  ///< Is about to start, and need not any more.
};

Reloader::Reloader(std::vector<std::string> arguments, const Settings& first, ServiceContext& context,
                   ServiceList& services, HelperThreads& reader)
    : arguments_(std::move(arguments)), in_force_(first), context_(context), services_(services), reader_(reader)
{
}

asio::awaitable<ReloadReport> Reloader::reload(bool dry_run)
{
    co_await asio::this_coro::throw_if_cancelled(false);
    const auto own_turn = std::make_shared<AsyncEvent>(context_.workers.control());
    const auto before = std::exchange(last_turn_, own_turn);
    const Turn turn(own_turn);
    if (before)
        co_await before->wait();
    ReloadReport report(dry_run);
    auto read = [this] { return read_settings(arguments_); };
    auto call = reader_.run(std::move(read));
    auto reading = co_await std::move(call);
    report.errors = std::move(reading.errors);
    if (closed_)
        report.errors.emplace_back("the daemon is ending");
    if (report.succeeded())
        apply(reading.settings, report);
    co_return report;
}

void Reloader::apply(const std::shared_ptr<const Settings>& now, ReloadReport& report)
{
    const auto running = running_services();
    std::vector<OwnedSettings> settings;
    for (const auto& one : running)
        settings.push_back(one.service->settings());
    auto plan = plan_reload(in_force_, settings, *now);
    if (!plan) {
        report.errors.push_back(plan.error());
        return;
    }
    report.plan = std::move(*plan);
    if (report.dry_run)
        return;
    auto successors = prepare(report.plan, running, now);
    if (successors)
        commit(report.plan, std::move(*successors), *now);
    else
        report.errors.push_back(successors.error());
}

std::vector<Reloader::Running> Reloader::running_services() const
{
    const auto all = services_.snapshot();
    const auto has_successor = [&](ServiceList::Id id) {
        return std::any_of(all.begin(), all.end(),
                           [id](const auto& other) { return other.state == State::starting && other.replaced == id; });
    };
    std::vector<Running> running;
    for (const auto& status : all)
        if (status.state != State::ending && !has_successor(status.id))
            running.emplace_back(status, *services_.service(status.id));
    return running;
}

/// The services that may have started something by now.
std::set<std::string> Reloader::holders() const
{
    std::set<std::string> names;
    for (const auto& status : services_.snapshot())
        if (status.state != State::starting || status.replaced)
            names.insert(status.name);
    return names;
}

Parsed<Reloader::Successors> Reloader::prepare(const ReloadPlan& plan, const std::vector<Running>& running,
                                               const std::shared_ptr<const Settings>& now)
{
    std::set<std::string> kept;
    for (const auto& one : running)
        kept.insert(one.service->name());
    for (const auto& change : plan.services)
        if (change.action == Action::change || change.action == Action::remove)
            kept.erase(change.service);
    context_.succession.set_running(holders());
    Successors successors;
    for (const auto& change : plan.services) {
        if (change.action != Action::change && change.action != Action::add)
            continue;
        auto successor = prepare(change, running, now, kept);
        if (!successor)
            return wrong(successor.error());
        successors.push_back(std::move(*successor));
    }
    return successors;
}

Parsed<Reloader::Successor> Reloader::prepare(const ServiceChange& change, const std::vector<Running>& running,
                                              const std::shared_ptr<const Settings>& now,
                                              const std::set<std::string>& kept)
{
    const auto named = [&](const auto& service) { return service.name == change.service; };
    const auto index = std::find_if(now->services.begin(), now->services.end(), named) - now->services.begin();
    const auto old = std::find_if(running.begin(), running.end(),
                                  [&](const auto& one) { return one.service->name() == change.service; });
    const auto serving = old == running.end() ? std::nullopt : old->serving();
    auto* predecessor = serving ? services_.service(*serving) : nullptr;
    context_.inherited.open_for(change.service, kept);
    // What one that is abandoned would have changed has yet to be.
    context_.succession.prepare_with(predecessor ? predecessor->instances() : nullptr,
                                     change.concerns_starts() || (old != running.end() && old->starting));
    Parsed<std::unique_ptr<RunningService>> prepared;
    try {
        prepared = prepare_service(OwnedSettings(now, static_cast<std::size_t>(index)), context_);
    } catch (...) {
        prepared = wrong(change.service + ": " + exception_text());
    }
    context_.succession.prepare_with(nullptr, true);
    // Sockets that are shared listen again.
    if (predecessor && predecessor->is_paused())
        predecessor->pause();
    if (!prepared)
        return wrong(prepared.error());
    if (predecessor)
        keep_wishes(*predecessor, **prepared);
    Successor successor(std::move(*prepared));
    successor.replaced = serving;
    if (old != running.end() && old->starting)
        successor.abandoned = old->id;
    return successor;
}

void Reloader::commit(const ReloadPlan& plan, Successors successors, const Settings& now)
{
    for (auto& successor : successors) {
        const auto& settings = successor.service->settings();
        for (const auto& warning : warnings_of(settings.daemon(), settings.service()))
            context_.log.warning(successor.service->name(), warning);
        services_.add(std::move(successor.service), successor.replaced);
        if (successor.abandoned)
            services_.stop(*successor.abandoned);
    }
    for (const auto& change : plan.services)
        if (change.action == Action::remove)
            remove(change.service);
    in_force_.log_file = now.log_file;
    in_force_.log_level = now.log_level;
    context_.log.set_level(now.log_level);
}

/// With those whose place it has taken, which have sessions yet.
void Reloader::remove(const std::string& service)
{
    for (const auto& status : services_.snapshot())
        if (status.name == service)
            services_.drain(status.id);
}

void log_report(const ReloadReport& report, const std::string& file, Log& log)
{
    for (const auto& error : report.errors)
        log.warning({}, error + "; the configuration stays as it was");
    if (!report.succeeded())
        return;
    if (report.plan.daemon.empty() && report.plan.services.empty())
        log.notice({}, file + " is as it was");
    for (const auto& change : report.plan.services) {
        switch (change.action) {
        case Action::add: log.notice(change.service, "is added, as " + file + " says"); break;
        case Action::remove:
            log.notice(change.service, "is removed, as " + file + " says; its sessions may finish");
            break;
        case Action::change:
            log.notice(change.service, "has other options: " + joined(descriptions_of(change.options)));
            break;
        case Action::restart: break;
        }
    }
    if (const auto restarts = report.restarts(); !restarts.empty())
        log.warning({},
                    file + ": a change of " + joined(restarts) +
                        " takes a restart; until then the daemon, and each such service as a whole, stays as it was");
}

}  // namespace instancer::daemon
