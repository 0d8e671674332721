// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>

namespace instancer {

/// A moment as `2026-11-30T08:15:00Z` (ISO 8601), without what is left of its second.
inline std::string to_utc(std::chrono::system_clock::time_point moment)
{
    const auto seconds = std::chrono::system_clock::to_time_t(moment);
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

/// The moment that is written so; none when `text` is anything else.
inline std::optional<std::chrono::system_clock::time_point> from_utc(const std::string& text)
{
    std::tm parts{};
    const char* const end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end != text.c_str() + text.size())
        return std::nullopt;
    const auto moment = std::chrono::system_clock::from_time_t(::timegm(&parts));
    return to_utc(moment) == text ? std::optional(moment) : std::nullopt;
}

}  // namespace instancer
