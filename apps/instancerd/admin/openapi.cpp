// SPDX-License-Identifier: MIT
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <instancer/version.hpp>

#include "admin/admin_json.hpp"
#include "admin/endpoints.hpp"

namespace instancer::daemon {

namespace {

constexpr std::string_view description =
    "What instancerd --admin answers. Durations are in seconds; in a body they are texts, as in 10m. The next page of "
    "a "
    "list begins `after` what `next` says; the last one has null there. An empty text stands for nothing.";

constexpr std::string_view parameters_of_queries = R"({
  "limit": {"description": "Entries of the list, at most", "schema": {"type": "integer", "minimum": 1, "maximum": 1000}},
  "after": {"description": "Where the page before has ended, as its `next` says", "schema": {"type": "string"}},
  "service": {"description": "Those of this service alone", "schema": {"type": "string"}},
  "owner": {"description": "Those of this owner alone, by its hash", "schema": {"type": "string"}},
  "stage": {"description": "Those in this stage alone",
            "schema": {"type": "string", "enum": ["admission", "queue", "connecting", "serving"]}},
  "dry_run": {"description": "Change nothing", "schema": {"type": "boolean"}},
  "since": {"description": "The event after which to begin, by its id",
            "schema": {"type": "integer", "minimum": 0, "maximum": 9223372036854775806}}
})";

/// The members of each schema, by their type. All are there always.
constexpr std::string_view objects = R"({
  "Done": {"done": "boolean"},
  "Error": {"error": "string", "message": "string"},
  "Status": {"version": "string", "uptime": "number", "services": "integer", "sessions": "integer",
             "instances": "integer", "queued": "integer", "unadmitted": "Places", "options": "Options"},
  "Places": {"taken": "integer", "limit": "integer"},
  "StagePlaces": {"stage": "string", "taken": "integer", "limit": "integer"},
  "Service": {"name": "string", "mode": "string", "state": "string", "listeners": "string[]", "condition": "string",
              "sessions": "integer", "instances": "integer", "max_instances": "integer", "queued": "integer",
              "places": "StagePlaces[]", "options": "Options"},
  "Services": {"services": "Service[]", "total": "integer", "next": "string?"},
  "Instance": {"id": "string", "service": "string", "name": "string", "owner": "string", "label": "string",
               "state": "string", "age": "number", "time_left": "number?", "clients": "integer", "bytes_up": "integer",
               "bytes_down": "integer"},
  "Instances": {"instances": "Instance[]", "total": "integer", "next": "string?"},
  "Session": {"id": "string", "service": "string", "client": "string", "stage": "string", "owner": "string",
              "label": "string", "instance": "string", "upstream": "string", "age": "number", "idle": "number",
              "bytes_up": "integer", "bytes_down": "integer"},
  "Sessions": {"sessions": "Session[]", "total": "integer", "next": "string?", "unanswered": "integer"},
  "Queue": {"queue": "Session[]", "total": "integer", "next": "string?", "unanswered": "integer"},
  "Ban": {"service": "string", "network": "string", "until": "string", "times": "integer", "reason": "string"},
  "Bans": {"bans": "Ban[]", "total": "integer", "next": "string?"},
  "Upstream": {"service": "string", "name": "string", "state": "string", "connections": "integer",
               "weight": "integer"},
  "Upstreams": {"upstreams": "Upstream[]", "total": "integer", "next": "string?"},
  "Event": {"id": "integer", "time": "string", "event": "string", "service": "string", "session": "integer",
            "client": "string", "owner": "string", "label": "string", "instance": "string", "upstream": "string",
            "reason": "string", "detail": "string"},
  "Events": {"events": "Event[]", "next": "integer"},
  "Change": {"service": "string", "action": "string", "changed": "string[]"},
  "Reload": {"reload": "Change[]", "restarts": "string[]", "dry_run": "boolean"}
})";

constexpr std::string_view other_schemas = R"({
  "Options": {"type": "object", "additionalProperties": {"type": "string"}},
  "Document": {"type": "object"},
  "Extension": {"type": "object", "required": ["for"], "additionalProperties": false, "properties": {
    "for": {"$ref": "#/components/schemas/Duration"}}},
  "UpstreamName": {"type": "object", "required": ["upstream"], "additionalProperties": false, "properties": {
    "upstream": {"type": "string", "minLength": 1, "description": "As the list of upstreams has it"}}},
  "NewBan": {"type": "object", "required": ["network"], "additionalProperties": false, "properties": {
    "network": {"type": "string", "minLength": 1, "description": "192.0.2.1 or 2001:db8::/48"},
    "for": {"$ref": "#/components/schemas/Duration"},
    "reason": {"type": "string", "description": "For operators"}}},
  "BannedNetwork": {"type": "object", "required": ["network"], "additionalProperties": false, "properties": {
    "network": {"type": "string", "minLength": 1, "description": "As the list of bans has it"}}},
  "Duration": {"type": "string", "pattern": "^[1-9][0-9]{0,2}(ms|s|m|h)$", "description": "As in 10m"}
})";

Json reference_to(std::string_view schema) { return {{"$ref", "#/components/schemas/" + std::string(schema)}}; }

/// `Word` is another schema, `word` a type of JSON, `[]` makes a list of it, and `?` lets it be null.
Json schema_of(std::string_view type)
{
    if (type.ends_with("[]"))
        return {{"type", "array"}, {"items", schema_of(type.substr(0, type.size() - 2))}};
    if (type.ends_with("?"))
        return {{"type", {type.substr(0, type.size() - 1), "null"}}};
    return type.front() < 'a' ? reference_to(type) : Json{{"type", type}};
}

Json schemas()
{
    auto all = Json::parse(other_schemas);
    const auto tables = Json::parse(objects);
    for (const auto& [name, members] : tables.items()) {
        auto properties = Json::object();
        auto required = Json::array();
        for (const auto& [member, type] : members.items()) {
            properties[member] = schema_of(type.get<std::string>());
            required.push_back(member);
        }
        all[name] = {{"type", "object"}, {"required", std::move(required)}, {"properties", std::move(properties)}};
    }
    return all;
}

/// The names in braces.
std::vector<std::string> arguments_of(std::string_view path)
{
    std::vector<std::string> names;
    for (const auto& part : split(path, '/'))
        if (part.starts_with('{'))
            names.push_back(part.substr(1, part.size() - 2));
    return names;
}

Json argument(const std::string& name)
{
    Json argument = {{"name", name}, {"in", "path"}, {"required", true}};
    if (name == "number") {
        argument["schema"] = {{"type", "integer"}, {"minimum", 0}};
        argument["example"] = 1;
    } else {
        argument["schema"] = {{"type", "string"}, {"minLength", 1}, {"pattern", "^[^/]+$"}};
        argument["example"] = name == "service" ? "exec" : "87d2ca22616a6f7af66527fee5fdc3ee";
    }
    return argument;
}

Json parameters_of(const Endpoint& endpoint)
{
    static const auto known = Json::parse(parameters_of_queries);
    auto all = Json::array();
    for (const auto& name : arguments_of(endpoint.path))
        all.push_back(argument(name));
    for (const auto name : endpoint.parameters)
        if (!name.empty()) {
            Json parameter = {{"name", name}, {"in", "query"}};
            parameter.update(known[std::string(name)]);
            all.push_back(std::move(parameter));
        }
    return all;
}

Json content(std::string_view type, const Json& schema) { return {{std::string(type), {{"schema", schema}}}}; }

Json answer(std::string_view text, std::string_view schema)
{
    return {{"description", text}, {"content", content("application/json", reference_to(schema))}};
}

Json answers_of(const Endpoint& endpoint)
{
    Json all = {{"200", endpoint.result.empty() ? Json{{"description", "Events"},
                                                       {"content", content("text/event-stream", {{"type", "string"}})}}
                                                : answer("Well", endpoint.result)},
                {"401", answer("The token is missing, or another one", "Error")},
                {"403", answer("By a wrong name of the host, or from a page of another origin", "Error")},
                {"503", answer("Not in time, or too many follow", "Error")}};
    all["400"] = answer("What was sent cannot be used", "Error");
    const auto& names = endpoint.parameters;
    if (endpoint.path.find('{') != endpoint.path.npos ||
        std::find(names.begin(), names.end(), "service") != names.end())
        all["404"] = answer("There is no such thing", "Error");
    if (endpoint.is_order())
        all["409"] = answer("The service cannot do that", "Error");
    return all;
}

Json operation(const Endpoint& endpoint)
{
    Json one = {{"operationId", endpoint.name}, {"summary", endpoint.summary}};
    if (auto parameters = parameters_of(endpoint); !parameters.empty())
        one["parameters"] = std::move(parameters);
    if (!endpoint.body.empty())
        one["requestBody"] = {{"required", true},
                              {"content", content("application/json", reference_to(endpoint.body))}};
    one["responses"] = answers_of(endpoint);
    return one;
}

std::string lower(std::string_view word)
{
    std::string result(word);
    for (auto& c : result)
        c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return result;
}

Json make_document()
{
    Json paths = Json::object();
    for (const auto& endpoint : endpoints())
        paths[std::string(endpoint.path)][lower(endpoint.method)] = operation(endpoint);
    return {{"openapi", "3.1.0"},
            {"info", {{"title", "instancerd"}, {"version", INSTANCER_VERSION}, {"description", description}}},
            {"servers", {{{"url", "/api/v1"}}}},
            {"security", {Json::object(), {{"token", Json::array()}}}},
            {"paths", std::move(paths)},
            {"components",
             {{"schemas", schemas()}, {"securitySchemes", {{"token", {{"type", "http"}, {"scheme", "bearer"}}}}}}}};
}

const Json& document()
{
    static const auto made = make_document();
    return made;
}

/// The members of a schema, in words.
std::string members_of(const Json& schema)
{
    std::string text;
    const auto properties = schema.value("properties", Json::object());
    for (const auto& [name, member] : properties.items())
        text += (text.empty() ? "`" : ", `") + name + "`";
    return text;
}

/// The last part of what a reference says.
std::string name_of(const Json& reference)
{
    const auto path = reference.at("$ref").get<std::string>();
    return path.substr(path.rfind('/') + 1);
}

std::string row_of(const Endpoint& endpoint, const Json& operation)
{
    std::string query, body = "-", result = "events";
    for (const auto name : endpoint.parameters)
        if (!name.empty())
            query += (query.empty() ? "`" : ", `") + std::string(name) + "`";
    if (operation.contains("requestBody"))
        body = name_of(operation["requestBody"]["content"]["application/json"]["schema"]);
    if (!endpoint.result.empty())
        result = endpoint.result;
    return "| `" + std::string(endpoint.method) + " " + std::string(endpoint.path) + "` | " +
           std::string(endpoint.summary) + " | " + (query.empty() ? "-" : query) + " | " + body + " | " + result +
           " |\n";
}

}  // namespace

const std::string& openapi_document()
{
    static const auto text = document().dump(2) + "\n";
    return text;
}

std::string api_reference()
{
    const auto& all = document();
    std::string text = "| request, below `/api/v1` | what it does | query | body | answer |\n|---|---|---|---|---|\n";
    for (const auto& endpoint : endpoints())
        text += row_of(endpoint, all["paths"][std::string(endpoint.path)][lower(endpoint.method)]);
    text += "\n| schema | members |\n|---|---|\n";
    for (const auto& [name, schema] : all["components"]["schemas"].items())
        if (const auto members = members_of(schema); !members.empty())
            text += "| " + name + " | " + members + " |\n";
    text += "\n| query | what it says |\n|---|---|\n";
    const auto parameters = Json::parse(parameters_of_queries);
    for (const auto& [name, parameter] : parameters.items())
        text += "| `" + name + "` | " + parameter["description"].get<std::string>() + " |\n";
    return text;
}

}  // namespace instancer::daemon
