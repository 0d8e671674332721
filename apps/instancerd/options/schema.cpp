// SPDX-License-Identifier: MIT
#include "options/schema.hpp"

#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "modes/modes.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

using Json = nlohmann::ordered_json;

Json strings() { return {{"type", "array"}, {"items", {{"type", "string"}}}}; }

/// A number, or a text of that pattern.
Json number_or_text(Json number, const std::string& pattern)
{
    return {{"anyOf", {std::move(number), {{"type", "string"}, {"pattern", "^" + pattern + "$"}}}}};
}

/// Digits that stand for a number of the type, as far as a pattern can say.
std::string digits_of(const Type& type) { return type.least == 0 || type.or_zero ? "[0-9]+" : "0*[1-9][0-9]*"; }

Json within(const Type& type)
{
    const Json bounds = {{"type", "integer"}, {"minimum", type.least}, {"maximum", type.most}};
    return type.or_zero ? Json{{"anyOf", {{{"const", 0}}, bounds}}} : bounds;
}

/// A longest duration, and a least size where that is written with a unit, are left to the parser.
Json schema_of(const Type& type)
{
    switch (type.shape) {
    case Shape::text: return type.choices.empty() ? Json{{"type", "string"}} : Json{{"enum", type.choices}};
    case Shape::number:
        if (type.has_fraction)
            return {{"anyOf", {{{"const", 0}}, {{"type", "number"}, {"minimum", least_cpus}, {"maximum", most_cpus}}}}};
        return within(type);
    case Shape::duration: {
        const auto units = "(" + std::string(type.units) + ")";
        if (type.least > 0)
            return {{"type", "string"}, {"pattern", "^" + digits_of(type) + units + "$"}};
        return number_or_text({{"const", 0}}, "(0|" + digits_of(type) + units + ")");
    }
    case Shape::size: return number_or_text(within(type), digits_of(type) + "[kmg]?");
    case Shape::flag: return {{"type", "boolean"}};
    case Shape::variant: {
        auto words = Json::array({true, false});
        for (const auto choice : type.choices)
            words.push_back(choice);
        return {{"enum", words}};
    }
    case Shape::list: return {{"anyOf", {{{"type", "string"}}, strings()}}};
    case Shape::map:
        return {{"type", "object"},
                {"propertyNames", {{"pattern", "^[^=]+$"}}},
                {"additionalProperties", {{"type", "string"}}}};
    }
    return {};
}

Json object() { return {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}}; }

/// Adds the keys of a mode, or of the top level.
void add_options(Json& parent, Scope scope, const Mode* mode = nullptr)
{
    for (const auto& option : options()) {
        if (!includes(option.scope, scope) || option.traits.no_key)
            continue;
        auto value = schema_of(mode && option.type.in ? option.type.in(*mode) : option.type);
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
    add_options(service, scope, &mode.mode);
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
