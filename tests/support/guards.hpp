// SPDX-License-Identifier: MIT
// The cleanup processes of daemons and of this program.
#pragma once

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/types.h>
#include <unistd.h>

#include <instancer/system/process_stat.hpp>

namespace daemon_test {

/// The cleanup processes for which `wanted` holds, which gets an id as text.
template <class Wanted>
std::vector<pid_t> guards(const Wanted& wanted)
{
    std::vector<pid_t> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto pid = entry.path().filename().string();
        std::string name;
        std::getline(std::ifstream(entry.path() / "comm"), name);
        if (name == "instancer-guard" && wanted(pid))
            found.push_back(std::atoi(pid.c_str()));
    }
    return found;
}

inline bool is_child_of(pid_t parent, const std::string& pid)
{
    return instancer::process_stat(pid, instancer::stat_parent) == std::to_string(parent);
}

/// Marks what this program starts from now on, and finds cleanup processes that outlive what they clean up after.
class OutlivingGuards {
public:
    OutlivingGuards() { ::setenv(name, std::to_string(::getpid()).c_str(), 1); }

    /// Those that are still there though nothing is left for which they wait, after some time.
    std::vector<pid_t> find() const
    {
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
        const auto ours = [this](const std::string& pid) { return is_child_of(::getpid(), pid) || is_marked(pid); };
        auto found = guards(ours);
        for (; !found.empty() && std::chrono::steady_clock::now() < deadline; found = guards(ours))
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        return found;
    }

private:
    static constexpr auto name = "TEST_PROGRAM";

    bool is_marked(const std::string& pid) const
    {
        std::ifstream environment("/proc/" + pid + "/environ");
        const std::string text{std::istreambuf_iterator<char>(environment), {}};
        return ('\0' + text).find('\0' + mark_ + '\0') != std::string::npos;
    }

    const std::string mark_ = std::string(name) + "=" + std::to_string(::getpid());
};

}  // namespace daemon_test
