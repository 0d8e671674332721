// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <optional>
#include <string>

namespace instancer {

namespace detail {

inline std::string utc_text(std::time_t seconds)
{
    std::tm parts{};
    ::gmtime_r(&seconds, &parts);
    std::array<char, 32> text{};
    return {text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

}  // namespace detail

/// A moment as `2026-11-30T08:15:00Z` (ISO 8601), without what is left of its second.
inline std::string to_utc(std::chrono::system_clock::time_point moment)
{
    return detail::utc_text(std::chrono::system_clock::to_time_t(moment));
}

/// The moment that is written so; none when `text` is anything else. One that the clock does not reach, as after the
/// year 2262, is the clock's last or first second.
inline std::optional<std::chrono::system_clock::time_point> from_utc(const std::string& text)
{
    std::tm parts{};
    const char* const end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
    if (end != text.c_str() + text.size())
        return std::nullopt;
    const auto seconds = ::timegm(&parts);
    if (detail::utc_text(seconds) != text)
        return std::nullopt;
    using Clock = std::chrono::system_clock;
    constexpr auto first = std::chrono::ceil<std::chrono::seconds>(Clock::time_point::min()).time_since_epoch().count(),
                   last = std::chrono::floor<std::chrono::seconds>(Clock::time_point::max()).time_since_epoch().count();
    return Clock::from_time_t(std::clamp<std::time_t>(seconds, first, last));
}

}  // namespace instancer
