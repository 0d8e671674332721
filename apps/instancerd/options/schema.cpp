// SPDX-License-Identifier: MIT
#include "options/schema.hpp"

#include <vector>

#include <nlohmann/json.hpp>

#include "modes/modes.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

using Json = nlohmann::ordered_json;

Json strings() { return {{"type", "array"}, {"items", {{"type", "string"}}}}; }

Json schema_of(const Type& type)
{
    switch (type.shape) {
    case Shape::text: return type.choices.empty() ? Json{{"type", "string"}} : Json{{"enum", type.choices}};
    case Shape::number: return {{"type", "number"}};
    case Shape::duration:
        return {{"anyOf", {{{"const", 0}}, {{"type", "string"}, {"pattern", "^(0|[0-9]+(us|ms|s|m|h))$"}}}}};
    case Shape::size:
        return {
            {"anyOf", {{{"type", "integer"}, {"minimum", 0}}, {{"type", "string"}, {"pattern", "^[0-9]+[kmg]?$"}}}}};
    case Shape::flag: return {{"type", "boolean"}};
    case Shape::variant: {
        auto words = Json::array({true, false});
        for (const auto choice : type.choices)
            words.push_back(choice);
        return {{"enum", words}};
    }
    case Shape::list: return {{"anyOf", {{{"type", "string"}}, strings()}}};
    case Shape::map: return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
    }
    return {};
}

Json object() { return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}}; }

/// Adds the keys of that scope.
void add_options(Json& parent, Scope scope)
{
    for (const auto& option : options()) {
        if (!includes(option.scope, scope))
            continue;
        auto value = schema_of(option.type);
        value["description"] = option.description();
        if (option.traits.secret)
            value["writeOnly"] = true;
        auto* where = &parent["properties"];
        auto key = std::string(option.config_key());
        if (const auto dot = key.find('.'); dot != key.npos) {
            auto& inner = (*where)[key.substr(0, dot)];
            if (inner.is_null())
                inner = object();
            where = &inner["properties"];
            key.erase(0, dot + 1);
        }
        (*where)[key] = std::move(value);
    }
}

Json schema_of(const ModeEntry& mode)
{
    auto service = object();
    service["properties"]["mode"] = {{"const", mode.name}};
    const auto scope = scope_of(mode.mode);
    if (includes(Scope::instances, scope))
        service["properties"]["command"] = strings();
    add_options(service, scope);
    return service;
}

}  // namespace

std::string json_schema()
{
    auto root = object();
    auto names = Json::array(), by_mode = Json::array();
    for (const auto* mode : all_modes()) {
        root["$defs"][std::string(mode->name)] = schema_of(*mode);
        names.push_back(mode->name);
        by_mode.push_back({{"if", {{"properties", {{"mode", {{"const", mode->name}}}}}}},
                           {"then", {{"$ref", "#/$defs/" + std::string(mode->name)}}}});
    }
    const Json service = {{"type", "object"},
                          {"required", Json::array({"mode"})},
                          {"properties", {{"mode", {{"enum", names}}}}},
                          {"allOf", by_mode}};
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema";
    root["title"] = "Configuration of instancerd";
    root["required"] = Json::array({"services"});
    add_options(root, Scope::daemon);
    root["properties"]["$schema"] = {{"type", "string"}};
    root["properties"]["services"] = {{"type", "object"}, {"minProperties", 1}, {"additionalProperties", service}};
    return root.dump(2) + "\n";
}

}  // namespace instancer::daemon
