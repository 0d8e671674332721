// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer {

// Fields of /proc/PID/stat, counted from 1 as in proc(5).
inline constexpr int stat_parent = 4;       ///< The process that started it.
inline constexpr int stat_start_time = 22;  ///< In clock ticks since boot: with the id it names a process for good.
inline constexpr int stat_arg_start = 48;   ///< Where its arguments begin in its memory.
inline constexpr int stat_arg_end = 49;     ///< Where they end.

/// One field after the second of `text`, which a stat file below /proc holds; empty when it is not there.
inline std::string_view stat_field(std::string_view text, int field)
{
    // The second field, the name of the program, stands in parentheses and may hold anything.
    auto at = text.rfind(')');
    for (int passed = 2; passed < field && at != text.npos; ++passed)
        at = text.find(' ', at + 1);
    return at == text.npos ? std::string_view() : text.substr(at + 1, text.find(' ', at + 1) - at - 1);
}

/// One field of /proc/`pid`/stat after the second; empty when there is no such process.
inline std::string process_stat(const std::string& pid, int field)
{
    // A stream would throw where the process goes between opening and reading.
    char buffer[4096];
    const UniqueFd file(::open(("/proc/" + pid + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    const auto size = file ? ::read(file.get(), buffer, sizeof buffer) : 0;
    return std::string(stat_field({buffer, size > 0 ? static_cast<std::size_t>(size) : 0}, field));
}

}  // namespace instancer
