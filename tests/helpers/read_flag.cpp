// SPDX-License-Identifier: MIT
// read_flag: what a setuid program of a challenge does. Prints /flag, and which capabilities it has.
#include <cstdio>
#include <cstring>

int main()
{
    char line[256];
    if (auto* const flag = std::fopen("/flag", "r"); flag && std::fgets(line, sizeof line, flag))
        std::fputs(line, stdout);
    else
        std::puts("no flag");
    auto* const status = std::fopen("/proc/self/status", "r");
    while (status && std::fgets(line, sizeof line, status))
        if (std::strncmp(line, "Cap", 3) == 0)
            std::fputs(line, stdout);
}
