// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace instancer::detail::inline docker {

/// What `object` holds under `key`; `fallback` when there is nothing, or something of another kind: the engine's
/// answers are taken as they come.
template <class T>
T value_at(const nlohmann::json& object, std::string_view key, T fallback)
{
    if (!object.is_object())
        return fallback;
    const auto found = object.find(key);
    if (found == object.end())
        return fallback;
    try {
        return found->template get<T>();
    } catch (const nlohmann::json::exception&) {
        return fallback;
    }
}

inline std::string text_at(const nlohmann::json& object, std::string_view key)
{
    return value_at(object, key, std::string());
}

inline nlohmann::json object_at(const nlohmann::json& object, std::string_view key)
{
    return value_at(object, key, nlohmann::json::object());
}

}  // namespace instancer::detail::inline docker
