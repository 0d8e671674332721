// SPDX-License-Identifier: MIT
#include "authentication/web/web_environment.hpp"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace instancer::daemon {

namespace {

/// As POSIX has them: letters, digits and `_`, of which no digit is the first.
bool is_variable_name(std::string_view name)
{
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    const auto fits = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
    };
    return !name.empty() && !is_digit(name.front()) && std::all_of(name.begin(), name.end(), fits);
}

bool is_set_by_us(std::string_view name, const ServiceSettings& service)
{
    return name.starts_with("INSTANCER_") || (name == "FLAG" && !service.flags.text.empty()) ||
           (name == "PORT" && service.mode == Mode::exec && service.io == ProcessIo::port);
}

}  // namespace

Parsed<Environment> parse_environment(const nlohmann::json& object)
{
    if (!object.is_object())
        return wrong("has an env that is no object of names and values");
    if (object.size() > max_environment_variables)
        return wrong("has more than " + std::to_string(max_environment_variables) + " variables in env");
    Environment variables;
    std::size_t bytes = 0;
    for (const auto& [name, value] : object.items()) {
        if (!is_variable_name(name))
            return wrong("has a name in env that no variable can have");
        if (!value.is_string() || value.get_ref<const std::string&>().find('\0') != std::string::npos)
            return wrong("has a value in env that is no text, or holds a zero byte");
        variables.emplace_back(name, value.get<std::string>());
        bytes += name.size() + variables.back().second.size();
    }
    if (bytes > max_environment_bytes)
        return wrong("has more than " + std::to_string(max_environment_bytes) + " bytes in env");
    return variables;
}

std::string problem_with(const Environment& variables, const ServiceSettings& service)
{
    if (variables.empty())
        return {};
    if (service.pool.warm > 0)
        return "has an env, which a warm instance starts without; remove that or warm";
    const auto ours = std::find_if(variables.begin(), variables.end(),
                                   [&](const auto& variable) { return is_set_by_us(variable.first, service); });
    return ours == variables.end() ? std::string() : "sets " + ours->first + " in env, which instancerd itself sets";
}

}  // namespace instancer::daemon
