// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <instancer/detail/process/directory_entries.hpp>
#include <instancer/system/process_stat.hpp>
#include <instancer/unique_fd.hpp>

namespace instancer::detail {

// The cleanup process looks for processes in memory that it was forked from: nothing here allocates, but for kill_user.

/// The beginning of a file of `directory`, as much as `buffer` holds; empty when it is gone.
template <std::size_t size>
std::string_view read_beginning(int directory, const char* name, char (&buffer)[size])
{
    const UniqueFd file(::openat(directory, name, O_RDONLY | O_CLOEXEC));
    const auto count = file ? ::read(file.get(), buffer, size) : -1;
    return {buffer, count > 0 ? static_cast<std::size_t>(count) : 0};
}

/// Processes that were killed.
class KilledProcesses {
public:
    /// Adds the process with that id and directory below /proc. False: it is known.
    bool add(pid_t pid, int directory)
    {
        char stat[1024];
        const auto start = stat_field(read_beginning(directory, "stat", stat), stat_start_time);
        Process process;
        process.pid = pid;
        std::from_chars(start.data(), start.data() + start.size(), process.start);
        const auto end = known_.begin() + count_;
        if (std::find(known_.begin(), end, process) != end)
            return false;
        if (end != known_.end())
            known_[static_cast<std::size_t>(count_++)] = process;
        return true;
    }

private:
    /// An id alone may have been given to another process since.
    struct Process {
        pid_t pid = 0;
        std::uint64_t start = 0;
        friend bool operator==(const Process&, const Process&) = default;
    };

    std::array<Process, 1024> known_;  ///< More count as new each time: a guess, as is the number of rounds.
    std::ptrdiff_t count_ = 0;
};

/// Kills every process but ourselves for whose directory below /proc, a descriptor, `is_ours` holds. False: one that
/// was killed is still there.
///
/// Time: reads all of /proc, and again while that finds processes that it did not find before. Those that take their
/// time to die are not waited for.
template <class IsOurs>
bool kill_processes(const IsOurs& is_ours)
{
    KilledProcesses killed;
    bool found = true, fresh = true;
    for (int round = 0; fresh && round < 16; ++round) {
        const UniqueFd proc(::open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (!proc)
            return false;
        found = fresh = false;
        DirectoryEntries<32 * 1024> entries(proc.get());
        while (const auto* entry = entries.next()) {
            const int pid = std::atoi(entry->d_name);
            if (pid <= 0 || pid == ::getpid())
                continue;
            const UniqueFd directory(::openat(proc.get(), entry->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC));
            if (!directory || !is_ours(directory.get()) || ::kill(pid, SIGKILL) != 0)
                continue;
            found = true;
            fresh = killed.add(pid, directory.get()) || fresh;
        }
    }
    return !found;
}

/// Kills every process for whose environment, as it was at its start, `is_ours` holds. For systems without a control
/// group of our own: it finds children that left their process group, though not those that hide on purpose.
template <class IsOurs>
void kill_by_environment(const IsOurs& is_ours)
{
    char begin[4096];
    kill_processes([&](int directory) {
        const auto environment = read_beginning(directory, "environ", begin);
        return !environment.empty() && is_ours(environment);
    });
}

/// Kills every process of a user. False: some do not end within a second.
inline bool kill_user(uid_t uid)
{
    char begin[2048];
    const auto line = "\nUid:\t" + std::to_string(uid) + "\t";
    const auto is_theirs = [&](int directory) {
        const auto status = read_beginning(directory, "status", begin);
        const auto has = [&](std::string_view text) { return status.find(text) != status.npos; };
        // A process whose first thread has ended looks dead while its other threads run.
        const bool is_alone = has("\nThreads:\t0\n") || has("\nThreads:\t1\n");
        const bool is_dead = has("\nState:\tX") || (has("\nState:\tZ") && is_alone);
        return !is_dead && has(line);
    };
    for (int attempt = 0; attempt < 100; ++attempt) {
        if (kill_processes(is_theirs))
            return true;
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
}

/// Begins the environment of an instance: the name of the run follows, then the instance's number, each with a dot.
inline constexpr std::string_view mark_key = "INSTANCER_RUN=";

/// What the environment of every instance of a run begins with.
inline std::string mark_of_run(std::string_view run_name)
{
    return std::string(mark_key) + std::string(run_name) + ".";
}

/// The run that a process belongs to; empty when its environment does not say.
inline std::string_view marked_run(std::string_view environment)
{
    auto mark = environment.substr(0, environment.find('\0'));
    if (!mark.starts_with(mark_key))
        return {};
    mark.remove_prefix(mark_key.size());
    for (int part = 0; part < 2; ++part)
        mark = mark.substr(0, mark.rfind('.'));
    return mark;
}

/// Kills every process whose environment begins with `mark`.
inline void kill_marked(std::string_view mark)
{
    kill_by_environment([mark](std::string_view environment) { return environment.starts_with(mark); });
}

}  // namespace instancer::detail
