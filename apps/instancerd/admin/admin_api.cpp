// SPDX-License-Identifier: MIT
#include "admin/admin_api.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include <instancer/version.hpp>

#include "admin/admin_json.hpp"
#include "admin/ask.hpp"
#include "admin/event_feed.hpp"
#include "admin/page.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

/// Files are read for it, and addresses bound. A guess.
constexpr std::chrono::seconds time_to_reload{8};

HttpResponse answer_with(const Json& json) { return HttpResponse::json(text_of(json) + "\n"); }

HttpResponse bad_request(std::string_view what) { return HttpResponse::error(400, "bad-request", what); }

HttpResponse no_answer()
{
    return HttpResponse::error(503, "no-answer", "the daemon is too busy to answer in time; try again");
}

HttpResponse answer_of(const Outcome& outcome)
{
    switch (outcome.kind) {
    case Outcome::Kind::done: return answer_with({{"done", true}});
    case Outcome::Kind::no_such: return HttpResponse::error(404, "no-such", outcome.text);
    case Outcome::Kind::refused: break;
    }
    return HttpResponse::error(409, "refused", outcome.text);
}

/// Leaves those of the service and the owner that the query names.
template <class Item>
void filter(std::vector<Item>& items, const HttpRequest& request)
{
    if (const auto service = request.parameter("service"))
        std::erase_if(items, [&](const Item& item) { return item.service != *service; });
    if constexpr (requires(Item item) { item.owner; })
        if (const auto owner = request.parameter("owner"))
            std::erase_if(items, [&](const Item& item) { return item.owner != *owner; });
}

/// A page of what `call` returns on the control executor.
template <class Call>
HttpResponse list(const HttpRequest& request, std::string_view name, const Log& log, const Call& call)
{
    const auto page = PageRequest::parse(request);
    if (!page)
        return bad_request(page.error());
    auto items = call();
    if (!items)
        return no_answer();
    filter(*items, request);
    return answer_with(page->page_of(std::move(*items), name, JsonView(log)));
}

/// The members of a body: texts, of which `required` must be there, and no others than `known`.
Parsed<std::map<std::string, std::string>> read_body(const HttpRequest& request, std::string_view required,
                                                     std::initializer_list<std::string_view> known)
{
    const auto json = Json::parse(request.body, nullptr, false);
    if (!json.is_object())
        return wrong("the body must be a JSON object");
    std::map<std::string, std::string> members;
    for (const auto& [name, value] : json.items()) {
        if (std::find(known.begin(), known.end(), name) == known.end())
            return wrong(in_quotes(name) + " is none of " + joined(known));
        if (!value.is_string())
            return wrong(name + " must be a text");
        members.emplace(name, value.get<std::string>());
    }
    if (members[std::string(required)].empty())
        return wrong(std::string(required) + " is missing");
    return members;
}

/// A duration longer than 0, and not so long that clocks end before it.
Parsed<std::chrono::milliseconds> read_duration(const std::string& text)
{
    constexpr std::chrono::hours longest{10'000};
    const auto duration = parse_duration(text);
    if (!duration)
        return wrong("for: " + duration.error());
    if (duration->count() <= 0 || *duration > longest)
        return wrong("for: must be longer than 0, and 10000h at most");
    return duration;
}

/// Those of the daemon itself, as they are written.
Json options_of(const Settings& settings)
{
    auto all = Json::object();
    for (const auto& option : options())
        if (option.scope == Scope::daemon)
            if (auto value = option.print(View(settings, nullptr)); !value.empty())
                all[std::string(option.name)] = std::move(value);
    return all;
}

/// The number of an instance or a session in the path; of text that is no number, one that nothing has.
std::uint64_t number_of_path(const HttpRequest& request)
{
    constexpr auto nothing = std::numeric_limits<std::uint64_t>::max();
    return parse_count(request.argument("number"), 0, nothing).value_or(nothing);
}

}  // namespace

AdminApi::AdminApi(DaemonOrders& daemon, Operations& operations, EventRing& events, const UnadmittedLimit& unadmitted,
                   const asio::any_io_executor& control, const Log& log, std::chrono::milliseconds deadline)
    : daemon_(daemon),
      operations_(operations),
      events_(events),
      unadmitted_(unadmitted),
      control_(control),
      log_(log),
      deadline_(deadline)
{
    for (const auto& endpoint : endpoints())
        routes_.add(endpoint.method, "/api/v1" + std::string(endpoint.path),
                    [this, &endpoint](const HttpRequest& request) { return answer_as(endpoint, request); });
}

HttpResponse AdminApi::answer_as(const Endpoint& endpoint, const HttpRequest& request)
{
    const auto& known = endpoint.parameters;
    for (const auto& [name, value] : request.query)
        if (name.empty() || std::find(known.begin(), known.end(), name) == known.end())
            return bad_request("there is no parameter " + in_quotes(name));
    if (const auto name = request.parameter("service")) {
        const auto is_known = call_in_time(control_, deadline_,
                                           [this, service = std::string(*name)] { return operations_.knows(service); });
        if (!is_known)
            return no_answer();
        if (!*is_known)
            return HttpResponse::error(404, "no-such", "there is no service " + in_quotes(*name));
    }
    return (this->*endpoint.handle)(request);
}

HttpResponse AdminApi::obey(std::function<Outcome()> order) const
{
    const auto outcome = call_in_time(control_, deadline_, std::move(order));
    return outcome ? answer_of(*outcome) : no_answer();
}

HttpResponse AdminApi::status(const HttpRequest&)
{
    const auto services = await_in_time(control_, deadline_, operations_.services());
    if (!services)
        return no_answer();
    std::size_t sessions = 0, instances = 0, queued = 0;
    for (const auto& service : *services) {
        sessions += service.sessions;
        instances += service.instances;
        queued += service.queued;
    }
    auto options = call_in_time(control_, deadline_, [this] { return options_of(daemon_.in_force()); });
    if (!options)
        return no_answer();
    return answer_with({{"version", INSTANCER_VERSION},
                        {"uptime", seconds_of(std::chrono::steady_clock::now() - begin_)},
                        {"services", services->size()},
                        {"sessions", sessions},
                        {"instances", instances},
                        {"queued", queued},
                        {"unadmitted", {{"taken", unadmitted_.count()}, {"limit", unadmitted_.limit()}}},
                        {"options", std::move(*options)}});
}

HttpResponse AdminApi::services(const HttpRequest& request)
{
    const auto page = PageRequest::parse(request);
    if (!page)
        return bad_request(page.error());
    auto services = await_in_time(control_, deadline_, operations_.services());
    if (!services)
        return no_answer();
    return answer_with(page->page_of(std::move(*services), "services", JsonView(log_)));
}

HttpResponse AdminApi::service(const HttpRequest& request)
{
    const auto name = request.argument("service");
    const auto services = await_in_time(control_, deadline_, operations_.services());
    if (!services)
        return no_answer();
    // One that takes the place of another of its name comes after it.
    const auto found =
        std::find_if(services->rbegin(), services->rend(), [&](const auto& service) { return service.name == name; });
    if (found == services->rend())
        return HttpResponse::error(404, "no-such", "there is no service " + in_quotes(name));
    return answer_with(JsonView(log_).show(*found));
}

HttpResponse AdminApi::instances(const HttpRequest& request)
{
    return list(request, "instances", log_,
                [this] { return call_in_time(control_, deadline_, [this] { return operations_.instances(); }); });
}

HttpResponse AdminApi::list_sessions(const HttpRequest& request, std::string_view list, std::string_view stage)
{
    const auto page = PageRequest::parse(request);
    if (!page)
        return bad_request(page.error());
    auto found = await_in_time(control_, deadline_, operations_.sessions());
    if (!found)
        return no_answer();
    filter(found->sessions, request);
    if (!stage.empty())
        std::erase_if(found->sessions, [stage](const SessionStatus& session) { return session.stage != stage; });
    auto json = page->page_of(std::move(found->sessions), list, JsonView(log_));
    json["unanswered"] = found->unanswered;
    return answer_with(json);
}

HttpResponse AdminApi::sessions(const HttpRequest& request)
{
    return list_sessions(request, "sessions", request.parameter("stage").value_or(""));
}

HttpResponse AdminApi::queue(const HttpRequest& request) { return list_sessions(request, "queue", "queue"); }

HttpResponse AdminApi::bans(const HttpRequest& request)
{
    return list(request, "bans", log_,
                [this] { return call_in_time(control_, deadline_, [this] { return operations_.bans(); }); });
}

HttpResponse AdminApi::upstreams(const HttpRequest& request)
{
    return list(request, "upstreams", log_,
                [this] { return call_in_time(control_, deadline_, [this] { return operations_.upstreams(); }); });
}

HttpResponse AdminApi::events(const HttpRequest& request)
{
    constexpr auto latest = std::numeric_limits<std::int64_t>::max();
    const auto limit = number_in(request, "limit", 1, PageRequest::most, 100);
    const auto since = number_in(request, "since", 0, latest, latest);
    if (!limit || !since)
        return bad_request(limit ? since.error() : limit.error());
    const auto last = events_.last_id();
    // An id that is yet to come is one of a daemon before.
    const auto known = *since <= last ? *since : 0;
    const auto begin = *since == latest ? last - std::min<std::uint64_t>(last, *limit) : known;
    auto all = Json::array();
    auto next = begin;
    for (const auto& event : events_.after(begin, *limit)) {
        next = event.id;
        all.push_back(JsonView(log_).show(event));
    }
    return answer_with({{"events", std::move(all)}, {"next", next}});
}

HttpResponse AdminApi::follow_events(const HttpRequest& request)
{
    const auto since = number_in(request, "since", 0, std::numeric_limits<std::int64_t>::max(), events_.last_id());
    if (!since)
        return bad_request(since.error());
    // A browser that connects again says what it has.
    const auto last = events_.last_id();
    const auto has = parse_count(request.field("Last-Event-ID").value_or(""), 0, last).value_or(*since);
    return HttpResponse::stream("text/event-stream",
                                std::make_shared<EventFeed>(events_, JsonView(log_), has <= last ? has : 0));
}

HttpResponse AdminApi::pause(const HttpRequest& request)
{
    return obey(
        [this, service = std::string(request.argument("service"))] { return operations_.pause(service, true); });
}

HttpResponse AdminApi::resume(const HttpRequest& request)
{
    return obey(
        [this, service = std::string(request.argument("service"))] { return operations_.pause(service, false); });
}

HttpResponse AdminApi::stop_instance(const HttpRequest& request)
{
    return obey([this, service = std::string(request.argument("service")), number = number_of_path(request)] {
        return operations_.stop_instance(service, number);
    });
}

HttpResponse AdminApi::extend_instance(const HttpRequest& request)
{
    const auto body = read_body(request, "for", {"for"});
    if (!body)
        return bad_request(body.error());
    const auto duration = read_duration(body->at("for"));
    if (!duration)
        return bad_request(duration.error());
    return obey([this, service = std::string(request.argument("service")), number = number_of_path(request),
                 duration = *duration] { return operations_.extend_instance(service, number, duration); });
}

HttpResponse AdminApi::reset_owner(const HttpRequest& request)
{
    return obey([this, service = std::string(request.argument("service")),
                 owner = std::string(request.argument("owner"))] { return operations_.reset_owner(service, owner); });
}

HttpResponse AdminApi::end_session(const HttpRequest& request)
{
    return obey([this, service = std::string(request.argument("service")), number = number_of_path(request)] {
        return operations_.end_session(service, number);
    });
}

HttpResponse AdminApi::drain(const HttpRequest& request, bool drained)
{
    const auto body = read_body(request, "upstream", {"upstream"});
    if (!body)
        return bad_request(body.error());
    return obey([this, service = std::string(request.argument("service")), upstream = body->at("upstream"), drained] {
        return operations_.drain_upstream(service, upstream, drained);
    });
}

HttpResponse AdminApi::drain_upstream(const HttpRequest& request) { return drain(request, true); }

HttpResponse AdminApi::fill_upstream(const HttpRequest& request) { return drain(request, false); }

HttpResponse AdminApi::ban(const HttpRequest& request)
{
    auto body = read_body(request, "network", {"network", "for", "reason"});
    if (!body)
        return bad_request(body.error());
    const auto duration = read_duration(body->emplace("for", "10m").first->second);
    if (!duration)
        return bad_request(duration.error());
    const auto reason = one_line(body->emplace("reason", "an operator's wish").first->second, 200);
    return obey([this, service = std::string(request.argument("service")), network = body->at("network"), reason,
                 duration = std::chrono::ceil<std::chrono::seconds>(*duration)] {
        return operations_.ban(service, network, duration, reason);
    });
}

HttpResponse AdminApi::unban(const HttpRequest& request)
{
    const auto body = read_body(request, "network", {"network"});
    if (!body)
        return bad_request(body.error());
    return obey([this, service = std::string(request.argument("service")), network = body->at("network")] {
        return operations_.unban(service, network);
    });
}

HttpResponse AdminApi::reload(const HttpRequest& request)
{
    const auto dry_run = request.parameter("dry_run").value_or("false");
    if (dry_run != "true" && dry_run != "false")
        return bad_request("dry_run must be true or false");
    const auto report = await_in_time(control_, time_to_reload, daemon_.reload(dry_run == "true"));
    if (!report)
        return no_answer();
    if (!report->succeeded())
        return answer_of(Outcome::refused(joined(report->errors)));
    return answer_with(JsonView(log_).show(*report));
}

HttpResponse AdminApi::reopen(const HttpRequest&)
{
    const auto errors = await_in_time(control_, deadline_, daemon_.reopen_files());
    if (!errors)
        return no_answer();
    return answer_of(errors->empty() ? Outcome::done() : Outcome::refused(joined(*errors)));
}

HttpResponse AdminApi::document(const HttpRequest&) { return HttpResponse::json(openapi_document()); }

}  // namespace instancer::daemon
