// SPDX-License-Identifier: MIT
#include "authentication/web/web_verifier.hpp"

#include <chrono>
#include <utility>

#include "authentication/web/web_environment.hpp"

namespace instancer::daemon {

namespace {

auto now() { return std::chrono::steady_clock::now(); }

}  // namespace

WebVerifier::WebVerifier(const ServiceSettings& service, const WebDialect& dialect, Events& events)
    : service_(service),
      dialect_(dialect),
      settings_(service.authentication.web),
      address_(parse_web_address(settings_.url).value()),
      events_(events),
      client_(address_),
      cache_(settings_.cache)
{
}

asio::awaitable<Result<Admission>> WebVerifier::do_verify(std::string line, const ClientInfo& client)
{
    const auto path = address_.path.empty() ? std::string(dialect_.default_path) : address_.path;
    auto request = dialect_.ask(path, service_.name, client, line);
    if (!request)
        co_return fail(Errc::rejected, "a line that can be no token");
    const auto key = key_of(line, client);
    if (auto admission = remembered(key))
        co_return std::move(*admission);
    const Source source(client, service_.source_prefix, service_.source_prefix4);
    const auto place = co_await places_.take(source);
    if (!place)
        co_return fail(place.error());
    // Another connection with the same token may have had its answer meanwhile.
    if (auto admission = remembered(key))
        co_return std::move(*admission);
    if (!may_ask())
        co_return without_answer(key, "it has failed several times, and is asked again soon");
    const auto reply = co_await client_.ask(std::move(*request), settings_.timeout);
    if (!reply)
        co_return fail(reply.error());
    co_return conclude(key, judge(*reply, line), source);
}

Digest WebVerifier::key_of(std::string_view line, const ClientInfo& client) const
{
    const auto peer = client.peer();
    const auto address = peer ? peer->address().to_string() : client.to_string();
    return Identity(service_.name, line, dialect_.sees_address ? address : std::string()).id();
}

std::optional<Admission> WebVerifier::remembered(const Digest& key)
{
    const std::lock_guard lock(mutex_);
    return cache_.fresh(key, now());
}

bool WebVerifier::may_ask()
{
    const std::lock_guard lock(mutex_);
    return breaker_.allows(now());
}

WebVerdict WebVerifier::judge(const WebReply& reply, std::string_view line) const
{
    if (reply.status() == 0)
        return WebVerdict::down(reply.text());
    auto verdict = dialect_.judge(reply.status(), reply.text(), line);
    const auto problem =
        verdict.admission() ? problem_with(verdict.admission()->environment(), service_) : std::string();
    return problem.empty() ? verdict : WebVerdict::unusable("its answer " + problem);
}

Result<Admission> WebVerifier::conclude(const Digest& key, const WebVerdict& verdict, const Source& source)
{
    if (verdict.is_down()) {
        note_failure(verdict.why(), source);
        return without_answer(key, verdict.why());
    }
    note_success();
    if (verdict.is_undecided())
        return without_answer(key, verdict.why());
    if (verdict.is_unusable())
        return fail(Errc::backend_unavailable, address_.origin + " says who it is, but " + verdict.why());
    const std::lock_guard lock(mutex_);
    if (!verdict.admission()) {
        cache_.forget(key);
        return fail(Errc::rejected, "a token that " + address_.origin + " does not know");
    }
    cache_.put(key, *verdict.admission(), now());
    return *verdict.admission();
}

Result<Admission> WebVerifier::without_answer(const Digest& key, const std::string& why)
{
    const std::lock_guard lock(mutex_);
    auto known = settings_.when_down == WhenUnreachable::cached ? cache_.any(key) : std::nullopt;
    if (known)
        return std::move(*known);
    return fail(Errc::backend_unavailable, address_.origin + " cannot say who it is: " + why);
}

void WebVerifier::note_failure(const std::string& why, const Source& source)
{
    const bool opened = [&] {
        const std::lock_guard lock(mutex_);
        return breaker_.failed(source, now());
    }();
    if (opened)
        events_.warning(service_.name, address_.origin + " cannot say who clients are: " + why + "; " +
                                           (settings_.when_down == WhenUnreachable::cached
                                                ? "clients that it admitted before are admitted until it can"
                                                : "all are refused until it can"));
}

void WebVerifier::note_success()
{
    const bool closed = [this] {
        const std::lock_guard lock(mutex_);
        return breaker_.succeeded();
    }();
    if (closed)
        events_.notice(service_.name, address_.origin + " says who clients are again");
}

}  // namespace instancer::daemon
