// SPDX-License-Identifier: MIT
#include "authentication/web/web_dialect.hpp"

#include <algorithm>
#include <iterator>

#include <nlohmann/json.hpp>

#include <instancer/authenticator/token_verifier.hpp>

#include "authentication/web/web_environment.hpp"

namespace instancer::daemon {

namespace {

using Json = nlohmann::json;

constexpr int ok = 200, unauthorized = 401, forbidden = 403;

/// Bad, too large, unprocessable or one too many: a request of one client, which says nothing about those of others.
constexpr int about_request[] = {400, 413, 422, 429};

WebVerdict answered(int status)
{
    auto why = "it answered " + std::to_string(status);
    const bool works = std::find(std::begin(about_request), std::end(about_request), status) != std::end(about_request);
    return works ? WebVerdict::undecided(std::move(why)) : WebVerdict::down(std::move(why));
}

/// The text of a member; empty where there is none, or anything else.
std::string text_at(const Json& object, const char* name)
{
    const auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool is_text_or_nothing(const Json& object, const char* name)
{
    const auto found = object.find(name);
    return found == object.end() || found->is_string() || found->is_null();
}

// The webhook.

constexpr std::size_t most_text = 1024;  ///< Bytes of an owner or an identifier, which caches keep; a guess.

std::optional<WebRequest> ask_webhook(std::string path, std::string_view service, const ClientInfo& client,
                                      std::string_view line)
{
    WebRequest request("POST", std::move(path));
    request.headers.emplace("Content-Type", "application/json");
    const Json body = {{"service", service}, {"client", client.to_string()}, {"typed", line}};
    try {
        request.body = body.dump();
    } catch (const Json::type_error&) {  // no UTF-8
        return std::nullopt;
    }
    return request;
}

WebVerdict judge_webhook(int status, std::string_view body, std::string_view)
{
    if (status == forbidden)
        return WebVerdict::rejected();
    if (status != ok)
        return answered(status);
    const auto answer = Json::parse(body, nullptr, false);
    auto owner = answer.is_object() ? text_at(answer, "owner") : std::string();
    if (owner.empty())
        return WebVerdict::down("its answer is no JSON with an owner");
    if (!is_text_or_nothing(answer, "identifier"))
        return WebVerdict::unusable("its answer has an identifier that is no text");
    auto identifier = text_at(answer, "identifier");
    if (std::max(owner.size(), identifier.size()) > most_text)
        return WebVerdict::unusable("its answer has an owner or identifier of more than " + std::to_string(most_text) +
                                    " bytes");
    Admission admission(std::move(owner), std::move(identifier));
    if (const auto env = answer.find("env"); env != answer.end() && !env->is_null()) {
        auto variables = parse_environment(*env);
        if (!variables)
            return WebVerdict::unusable("its answer " + variables.error());
        admission.environment(std::move(*variables));
    }
    return WebVerdict::admitted(std::move(admission));
}

// The platforms, which know whose a token is that a player has made there.

/// Only what can stand in a header.
bool is_header_value(std::string_view token)
{
    return !token.empty() && std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

std::optional<WebRequest> ask_platform(std::string path, std::string_view scheme, std::string_view line)
{
    const auto token = TypedToken::with_identifier(line).token();
    if (!is_header_value(token))
        return std::nullopt;
    WebRequest request("GET", std::move(path));
    request.headers.emplace("Authorization", std::string(scheme) + " " + std::string(token));
    // Without it CTFd sends to its page for logging in.
    request.headers.emplace("Content-Type", "application/json");
    return request;
}

WebVerdict admit(std::string owner, std::string_view line)
{
    return WebVerdict::admitted(
        Admission(std::move(owner), std::string(TypedToken::with_identifier(line).identifier())));
}

/// The answer as an object; otherwise what its status means.
std::pair<Json, WebVerdict> read_platform(int status, std::string_view body)
{
    if (status == unauthorized || status == forbidden)
        return {Json(), WebVerdict::rejected()};
    if (status != ok)
        return {Json(), answered(status)};
    auto answer = Json::parse(body, nullptr, false);
    if (!answer.is_object())
        return {Json(), WebVerdict::down("its answer is no JSON")};
    const auto data = answer.find("data");
    if (data != answer.end() && !data->is_object())
        answer.erase(data);
    return {std::move(answer), WebVerdict::rejected()};
}

std::optional<WebRequest> ask_ctfd(std::string path, std::string_view, const ClientInfo&, std::string_view line)
{
    return ask_platform(std::move(path), "Token", line);
}

WebVerdict judge_ctfd(int status, std::string_view body, std::string_view line)
{
    const auto [answer, otherwise] = read_platform(status, body);
    if (!answer.is_object() || !answer.contains("data") || answer.value("success", Json()) != true)
        return otherwise;
    const auto& data = answer["data"];
    // A team and a user of the same number are not the same owner.
    for (const auto& [name, kind] : {std::pair("team_id", "team "), std::pair("id", "user ")})
        if (const auto id = data.find(name); id != data.end() && id->is_number_integer())
            return admit(kind + id->dump(), line);
    return WebVerdict::down("its answer names neither a team nor a user");
}

std::optional<WebRequest> ask_rctf(std::string path, std::string_view, const ClientInfo&, std::string_view line)
{
    return ask_platform(std::move(path), "Bearer", line);
}

WebVerdict judge_rctf(int status, std::string_view body, std::string_view line)
{
    const auto [answer, otherwise] = read_platform(status, body);
    if (!answer.is_object())
        return otherwise;
    const auto kind = text_at(answer, "kind");
    if (kind != "goodUserSelfData" && kind != "goodUserSelfDataV2")
        return otherwise;
    auto owner = answer.contains("data") ? text_at(answer["data"], "id") : std::string();
    return owner.empty() ? WebVerdict::down("its answer names no team") : admit(std::move(owner), line);
}

constexpr std::string_view own_user = "/api/v1/users/me";

}  // namespace

constinit const WebDialect webhook_dialect{
    .default_path = "/", .ask = ask_webhook, .judge = judge_webhook, .sees_address = true};
constinit const WebDialect ctfd_dialect{.default_path = own_user, .ask = ask_ctfd, .judge = judge_ctfd};
constinit const WebDialect rctf_dialect{.default_path = own_user, .ask = ask_rctf, .judge = judge_rctf};

}  // namespace instancer::daemon
