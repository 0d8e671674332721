// SPDX-License-Identifier: MIT
#include "status/operations.hpp"

#include <algorithm>
#include <exception>
#include <iterator>

#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>

#include <instancer/async/as_result.hpp>
#include <instancer/async/one_shot.hpp>
#include <instancer/backend/upstream_backend.hpp>
#include <instancer/server.hpp>

#include "crowd/ban_file.hpp"
#include "files/access.hpp"
#include "modes/modes.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

std::string_view word_for(ServiceList::State state, const RunningService& service)
{
    if (service.is_former())
        return "former";
    switch (state) {
    case ServiceList::State::starting: return "starting";
    case ServiceList::State::serving: return service.is_paused() ? "paused" : "serving";
    case ServiceList::State::ending: return "ending";
    }
    return "unknown";
}

std::vector<std::pair<std::string, std::string>> options_of(const OwnedSettings& settings)
{
    const View view(settings.daemon(), &settings.service());
    std::vector<std::pair<std::string, std::string>> all;
    for (const auto& option : options()) {
        if (!includes(option.scope, scope_of(settings.service().mode)))
            continue;
        if (auto value = option.print(view); !value.empty())
            all.emplace_back(option.name, std::move(value));
    }
    return all;
}

std::string quoted(std::string_view what, std::string_view name) { return std::string(what) + " " + in_quotes(name); }

Outcome no_service(std::string_view name) { return Outcome::no_such("there is no " + quoted("service", name)); }

Outcome no_number(std::string_view what, const std::string& service, std::uint64_t id)
{
    return Outcome::no_such("there is no " + std::string(what) + " " + service + "/" + std::to_string(id) +
                            "; it may just have ended");
}

/// On sockets that are others' to close.
bool listens_for_others(const RunningService& service)
{
    const auto& listen = service.settings().service().listen;
    return std::any_of(listen.begin(), listen.end(),
                       [](const Address& address) { return address.kind() == Address::Kind::inherited; });
}

Outcome without_bans(const RunningService& service)
{
    return Outcome::refused(service.name() + " bans nobody; give it ban-after or ban-file");
}

}  // namespace

Outcome Operations::with_service(const std::string& name, const std::function<Outcome(RunningService&)>& order) const
{
    auto outcome = no_service(name);
    for (const auto& [service, state] : services_.running()) {
        if (service->name() != name || service->is_former())
            continue;
        // One that is to take the place of another of its name comes after it.
        if (auto last = order(*service); outcome.kind != Outcome::Kind::done)
            outcome = std::move(last);
    }
    return outcome;
}

Outcome Operations::with_part(const std::string& name, const std::function<Outcome(ServicePart&)>& order) const
{
    auto outcome = no_service(name);
    for (const auto& [service, state] : services_.running())
        for (auto& part : service->parts()) {
            if (part.name != name)
                continue;
            outcome = order(part);
            if (outcome.kind == Outcome::Kind::done)
                return outcome;
        }
    return outcome;
}

bool Operations::knows(const std::string& service) const
{
    const auto all = services_.running();
    return std::any_of(all.begin(), all.end(), [&](const auto& entry) {
        const auto parts = entry.first->parts();
        return entry.first->name() == service ||
               std::any_of(parts.begin(), parts.end(), [&](const auto& part) { return part.name == service; });
    });
}

ServiceStatus Operations::status_of(RunningService& service, ServiceList::State state) const
{
    ServiceStatus status;
    status.name = service.name();
    status.mode = entry_of(service.settings().service().mode).name;
    status.state = word_for(state, service);
    for (const auto& part : service.parts()) {
        for (auto& address : part.server.addresses())
            status.listeners.push_back(std::move(address));
        for (auto& places : part.server.places())
            status.places.push_back(std::move(places));
        status.sessions += part.server.sessions();
        if (!part.pool)
            continue;
        const auto load = part.pool->load();
        status.instances += load.instances;
        status.queued += load.delayed_starts;
        status.max_instances = load.max_instances;
    }
    if (const auto* upstreams = service.upstreams())
        status.queued = upstreams->waiting();
    status.options = options_of(service.settings());
    return status;
}

asio::awaitable<std::vector<ServiceStatus>> Operations::services() const
{
    const auto all = services_.running();
    std::vector<ServiceStatus> statuses;
    std::vector<std::shared_ptr<OneShot<std::string>>> conditions;
    for (const auto& [service, state] : all) {
        statuses.push_back(status_of(*service, state));
        const auto condition = conditions.emplace_back(std::make_shared<OneShot<std::string>>(control_));
        asio::co_spawn(control_, condition_of(service), [condition](std::exception_ptr failure, std::string text) {
            condition->complete(failure ? std::string() : std::move(text));
        });
    }
    for (std::size_t i = 0; i < conditions.size(); ++i)
        statuses[i].condition = co_await conditions[i]->wait_uncancelled();
    co_return statuses;
}

asio::awaitable<std::string> Operations::condition_of(ServicePtr service) const
{
    const auto answer = std::make_shared<OneShot<std::string>>(control_);
    asio::co_spawn(control_, service->condition(), [answer, service](std::exception_ptr failure, std::string text) {
        answer->complete(failure ? std::string() : std::move(text));
    });
    using namespace asio::experimental::awaitable_operators;
    asio::steady_timer limit(control_, patience_);
    auto first = co_await (answer->wait() || limit.async_wait(as_result));
    if (first.index() == 0)
        co_return std::get<0>(first).value_or("");
    co_return "does not answer";
}

asio::awaitable<SessionList> Operations::sessions() const
{
    SessionList list;
    // Of all at once, so that those who do not answer are waited for once.
    std::vector<std::shared_ptr<OneShot<std::vector<SessionStatus>>>> answers;
    std::size_t count = 0;
    const auto all = services_.running();
    for (const auto& [service, state] : all)
        for (const auto& part : service->parts()) {
            count += part.server.sessions();
            const auto answer = answers.emplace_back(std::make_shared<OneShot<std::vector<SessionStatus>>>(control_));
            asio::co_spawn(control_, part.server.snapshot(patience_),
                           [answer](std::exception_ptr, std::vector<SessionStatus> sessions) {
                               answer->complete(std::move(sessions));
                           });
        }
    for (const auto& answer : answers) {
        auto sessions = co_await answer->wait_uncancelled();
        std::move(sessions.begin(), sessions.end(), std::back_inserter(list.sessions));
    }
    list.unanswered = count - std::min(count, list.sessions.size());
    co_return list;
}

std::vector<InstanceStatus> Operations::instances() const
{
    std::vector<InstanceStatus> all;
    for (const auto& [service, state] : services_.running())
        for (const auto& part : service->parts()) {
            if (!part.pool)
                continue;
            for (auto& instance : part.pool->snapshot())
                all.emplace_back(part.name, std::move(instance));
        }
    return all;
}

std::vector<ServiceUpstream> Operations::upstreams() const
{
    std::vector<ServiceUpstream> all;
    for (const auto& [service, state] : services_.running()) {
        const auto* upstreams = service->upstreams();
        if (!upstreams || service->is_former())
            continue;
        for (auto& upstream : upstreams->snapshot())
            all.emplace_back(service->name(), std::move(upstream));
    }
    return all;
}

std::vector<ServiceBan> Operations::bans() const
{
    std::vector<ServiceBan> all;
    for (const auto& [service, state] : services_.running()) {
        const auto* keeper = service->bans();
        if (!keeper || service->is_former())
            continue;
        for (auto& ban : keeper->bans()->list())
            all.emplace_back(service->name(), std::move(ban));
    }
    return all;
}

Outcome Operations::stop_instance(const std::string& service, std::uint64_t id)
{
    return with_part(service, [&](ServicePart& part) {
        if (!part.pool || !part.pool->stop(id))
            return no_number("instance", service, id);
        log_.notice(service, "an operator stopped instance " + std::to_string(id));
        return Outcome::done();
    });
}

Outcome Operations::extend_instance(const std::string& service, std::uint64_t id, Duration duration)
{
    return with_part(service, [&](ServicePart& part) {
        if (!part.pool || !part.pool->extend(id, std::chrono::steady_clock::now() + duration))
            return no_number("instance", service, id);
        const auto time = print_duration(std::chrono::duration_cast<std::chrono::microseconds>(duration));
        log_.notice(service, "an operator extended instance " + std::to_string(id) + " by " + time);
        return Outcome::done();
    });
}

Outcome Operations::reset_owner(const std::string& service, const std::string& owner)
{
    Digest digest;
    if (!Digest::parse(owner, digest))
        return Outcome::no_such("there is no " + quoted("owner", owner) +
                                "; an owner is 32 hexadecimal digits, as the log has it");
    return with_part(service, [&](ServicePart& part) {
        if (!part.pool)
            return Outcome::refused(service + " has no instances of its own");
        part.pool->reset_owner(digest);
        log_.notice(service, "an operator reset owner " + owner);
        return Outcome::done();
    });
}

Outcome Operations::end_session(const std::string& service, std::uint64_t id)
{
    return with_part(service, [&](ServicePart& part) {
        return part.server.kill(id) ? Outcome::done() : no_number("session", service, id);
    });
}

Outcome Operations::drain_upstream(const std::string& service, const std::string& upstream, bool drained)
{
    auto outcome = with_service(service, [&](RunningService& one) {
        auto* upstreams = one.upstreams();
        if (!upstreams)
            return Outcome::refused(service + " has no upstreams: its mode is not forward");
        if (!upstreams->drain(upstream, drained))
            return Outcome::no_such(service + " has no " + quoted("upstream", upstream));
        return Outcome::done();
    });
    if (outcome.kind == Outcome::Kind::done)
        log_.notice(service, std::string("an operator ") + (drained ? "drained" : "filled") + " upstream " + upstream);
    return outcome;
}

Outcome Operations::ban(const std::string& service, const std::string& network, std::chrono::seconds duration,
                        const std::string& reason)
{
    return with_service(service, [&](RunningService& one) {
        const auto parsed = parse_network(network);
        if (!parsed || !*parsed)
            return Outcome::refused(parsed ? "only addresses can be banned" : parsed.error());
        if (!one.bans())
            return without_bans(one);
        one.bans()->ban(**parsed, duration, reason);
        return Outcome::done();
    });
}

Outcome Operations::unban(const std::string& service, const std::string& network)
{
    return with_service(service, [&](RunningService& one) {
        const auto parsed = parse_network(network);
        if (!one.bans())
            return without_bans(one);
        if (!parsed || !*parsed || !one.bans()->unban(**parsed))
            return Outcome::no_such(service + " does not ban exactly " + in_quotes(network));
        return Outcome::done();
    });
}

Outcome Operations::pause(const std::string& service, bool paused)
{
    auto outcome = with_service(service, [&](RunningService& one) {
        if (one.parts().empty())
            return Outcome::refused(service + " takes no clients in");
        if (paused && listens_for_others(one))
            return Outcome::refused(service + " listens on a socket of the service manager; stop its socket unit");
        if (paused)
            one.pause();
        else
            one.resume();
        return Outcome::done();
    });
    if (outcome.kind == Outcome::Kind::done)
        log_.notice(service, paused ? "an operator paused it: clients are refused until it is resumed"
                                    : "an operator resumed it");
    return outcome;
}

}  // namespace instancer::daemon
