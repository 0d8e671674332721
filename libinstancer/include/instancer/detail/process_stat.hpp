// SPDX-License-Identifier: MIT
#pragma once

#include <fstream>
#include <iterator>
#include <string>

namespace instancer::detail {

// Fields of /proc/PID/stat, counted from 1 as in proc(5).
inline constexpr int stat_start_time = 22;  ///< In clock ticks since boot: with the id it names a process for good.
inline constexpr int stat_arg_start = 48;
inline constexpr int stat_arg_end = 49;

/// One field of /proc/`pid`/stat after the second; empty when there is no such process.
inline std::string process_stat(const std::string& pid, int field)
{
    std::ifstream file("/proc/" + pid + "/stat");
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    // The second field, the name of the program, stands in parentheses and may hold anything.
    auto at = text.rfind(')');
    for (int passed = 2; passed < field && at != std::string::npos; ++passed)
        at = text.find(' ', at + 1);
    if (at == std::string::npos)
        return {};
    return text.substr(at + 1, text.find(' ', at + 1) - at - 1);
}

}  // namespace instancer::detail
