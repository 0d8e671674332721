// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

namespace instancer {

// Fields of /proc/PID/stat, counted from 1 as in proc(5).
inline constexpr int stat_parent = 4;
inline constexpr int stat_start_time = 22;  ///< In clock ticks since boot: with the id it names a process for good.
inline constexpr int stat_arg_start = 48;
inline constexpr int stat_arg_end = 49;

/// One field of /proc/`pid`/stat after the second; empty when there is no such process.
inline std::string process_stat(const std::string& pid, int field)
{
    // A stream would throw where the process goes between opening and reading.
    char buffer[4096];
    const UniqueFd file(::open(("/proc/" + pid + "/stat").c_str(), O_RDONLY | O_CLOEXEC));
    const auto size = file ? ::read(file.get(), buffer, sizeof buffer) : 0;
    const std::string_view text(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
    // The second field, the name of the program, stands in parentheses and may hold anything.
    auto at = text.rfind(')');
    for (int passed = 2; passed < field && at != std::string::npos; ++passed)
        at = text.find(' ', at + 1);
    if (at == std::string::npos)
        return {};
    return std::string(text.substr(at + 1, text.find(' ', at + 1) - at - 1));
}

}  // namespace instancer
