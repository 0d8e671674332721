// SPDX-License-Identifier: MIT
// A whole service inside the test: real sockets, real processes, threads of its own; and what it may leave behind.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <instancer/authenticator/open.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/detail/process/control_group.hpp>
#include <instancer/detail/process/private_directory.hpp>
#include <instancer/events.hpp>
#include <instancer/pool/instance_budget.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/system/process_stat.hpp>

namespace service_test {

using namespace std::chrono_literals;
using namespace instancer;

/// How long a test waits for something that it is sure to see.
inline constexpr auto patience = 20s;

/// Asks again and again until `condition` holds; for what no event tells.
template <class Condition>
bool eventually(const Condition& condition, std::chrono::steady_clock::duration limit = patience)
{
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline)
            return false;
        std::this_thread::sleep_for(2ms);
    }
    return true;
}

/// Keeps what the library reports.
class Recorder final : public Events {
public:
    struct Record {
        std::vector<std::string> listening, started, claimed, warnings, output;
        std::size_t sessions_started = 0;
        std::vector<SessionSummary> sessions;
        std::vector<InstanceSummary> instances;

        std::size_t count(SessionEnd end) const { return count_of(sessions, end); }
        std::size_t count(InstanceEnd end) const { return count_of(instances, end); }

    private:
        template <class Summary, class End>
        static std::size_t count_of(const std::vector<Summary>& all, End end)
        {
            const auto same = [end](const Summary& summary) { return summary.end == end; };
            return static_cast<std::size_t>(std::count_if(all.begin(), all.end(), same));
        }
    };

    Record record() const
    {
        const std::lock_guard lock(mutex_);
        return record_;
    }

    /// Waits until `condition(record)` holds.
    template <class Condition>
    bool wait(const Condition& condition, std::chrono::steady_clock::duration limit = patience)
    {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, limit, [&] { return condition(record_); });
    }

    bool wait_for_sessions(std::size_t count)
    {
        return wait([count](const Record& record) { return record.sessions.size() >= count; });
    }
    bool wait_for_instances(std::size_t count)
    {
        return wait([count](const Record& record) { return record.instances.size() >= count; });
    }
    bool wait_for_output(std::string_view part)
    {
        return wait([part](const Record& record) {
            return std::any_of(record.output.begin(), record.output.end(),
                               [part](const auto& line) { return line.find(part) != std::string::npos; });
        });
    }

    /// Instances that have started and not ended yet.
    std::vector<std::string> running() const
    {
        auto names = record().started;
        for (const auto& ended : record().instances)
            std::erase(names, ended.name);
        return names;
    }

    /// Forgets what is over, so that it takes no memory.
    void forget()
    {
        change([](Record& record) { record = Record(); });
    }

    /// Why the only session that there was ended.
    SessionEnd session_end()
    {
        REQUIRE(wait_for_sessions(1));
        return record().sessions.front().end;
    }

private:
    template <class Change>
    void change(const Change& apply)
    {
        const std::lock_guard lock(mutex_);
        apply(record_);
        changed_.notify_all();
    }

    void listening(std::string_view, std::string_view address) override
    {
        change([&](Record& record) { record.listening.emplace_back(address); });
    }
    void session_started(std::string_view, std::uint64_t, const ClientInfo&) override
    {
        change([](Record& record) { ++record.sessions_started; });
    }
    void session_ended(const SessionSummary& summary) override
    {
        change([&](Record& record) { record.sessions.push_back(summary); });
    }
    void instance_started(std::string_view, std::string_view name, std::string_view) override
    {
        change([&](Record& record) { record.started.emplace_back(name); });
    }
    void instance_claimed(std::string_view, std::string_view name, std::string_view) override
    {
        change([&](Record& record) { record.claimed.emplace_back(name); });
    }
    void instance_ended(const InstanceSummary& summary) override
    {
        change([&](Record& record) { record.instances.push_back(summary); });
    }
    void output(std::string_view, std::string_view, std::string_view line) override
    {
        change([&](Record& record) {
            if (record.output.size() < 10000)
                record.output.emplace_back(line);
        });
    }
    void warning(std::string_view, std::string_view text) override
    {
        change([&](Record& record) { record.warnings.emplace_back(text); });
    }

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    Record record_;
};

/// What a service of these tests can leave behind, found as an operator would find it.
class Leftovers {
public:
    Leftovers(const std::string& name, const std::string& service)
        : Leftovers(name, service, "INSTANCER_SERVICE=" + service)
    {
    }
    /// Where the service's own name is not unique: `mark` is, a variable that it gives to its instances.
    Leftovers(const std::string& name, const std::string& service, std::string mark)
        : prefix_("instancer." + name + "." + service + "."), mark_(std::move(mark))
    {
    }

    /// Processes that an instance is or has started, zombies not included.
    std::vector<pid_t> processes() const
    {
        std::vector<pid_t> found;
        for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
            const int pid = std::atoi(entry.path().filename().c_str());
            if (pid <= 0)
                continue;
            const auto all = read_some(entry.path() / "environ");
            for (std::size_t begin = 0; begin < all.size();) {
                const auto end = std::min(all.find('\0', begin), all.size());
                if (all.compare(begin, end - begin, mark_) == 0) {
                    found.push_back(pid);
                    break;
                }
                begin = end + 1;
            }
        }
        return found;
    }

    std::vector<std::string> directories() const { return entries(detail::temporary_root()); }
    std::vector<std::string> control_groups() const
    {
        const auto own = detail::own_control_group();
        return own.empty() ? std::vector<std::string>() : entries(own);
    }

    /// Nothing is left, now or soon.
    bool none() const
    {
        if (eventually([&] { return processes().empty() && directories().empty() && control_groups().empty(); }))
            return true;
        MESSAGE("left behind: " << text());
        return false;
    }

private:
    std::string text() const
    {
        std::string all;
        for (const auto pid : processes())
            all += "process " + std::to_string(pid) + " ";
        for (const auto& path : directories())
            all += path + " ";
        for (const auto& path : control_groups())
            all += path + " ";
        return all;
    }

    /// Enough of a file that may vanish while it is read.
    static std::string read_some(const std::filesystem::path& path)
    {
        std::string text(65536, '\0');
        const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        const auto size = file ? ::read(file.get(), text.data(), text.size()) : 0;
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }

    std::vector<std::string> entries(const std::filesystem::path& where) const
    {
        std::vector<std::string> found;
        for (const auto& entry : std::filesystem::directory_iterator(where))
            if (entry.path().filename().string().starts_with(prefix_))
                found.push_back(entry.path().string());
        return found;
    }

    std::string prefix_;
    std::string mark_;
};

inline std::size_t open_descriptors()
{
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all))) - 1;  // Without the one that counts.
}

/// Children of ours that ended and that nobody waited for.
inline std::size_t zombies()
{
    std::size_t count = 0;
    const auto self = std::to_string(::getpid());
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const auto pid = entry.path().filename().string();
        if (std::atoi(pid.c_str()) > 0 && instancer::process_stat(pid, 4) == self &&
            instancer::process_stat(pid, 3) == "Z")
            ++count;
    }
    return count;
}

class ServiceOptions {
public:
    ProcessOptions process;
    PoolOptions pool;
    std::shared_ptr<InstanceBudget> budget;
    std::function<std::unique_ptr<Authenticator>()> authenticator = &std::make_unique<OpenAuthenticator>;
    std::size_t threads = 2;

    explicit ServiceOptions(std::vector<std::string> command, ProcessIo io = ProcessIo::stdio)
    {
        process.command = std::move(command);
        process.io = io;
        process.name = "test" + std::to_string(::getpid());
        pool.linger = io == ProcessIo::port ? pool.linger : PoolOptions::Duration::zero();
    }

    /// `python3` with a program of a few lines.
    static ServiceOptions python(std::string program, ProcessIo io = ProcessIo::stdio,
                                 std::vector<std::string> arguments = {})
    {
        std::vector<std::string> command{"/usr/bin/python3", "-I", "-S", "-c", std::move(program)};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return ServiceOptions(std::move(command), io);
    }
    static ServiceOptions shell(std::string program, ProcessIo io = ProcessIo::stdio)
    {
        return ServiceOptions({"/bin/sh", "-c", std::move(program)}, io);
    }
};

/// A service over processes that listens on a port of 127.0.0.1, with threads of its own. Stopped when it goes out of
/// scope; nothing of it may be left then.
class Service {
public:
    explicit Service(const ServiceOptions& options);
    ~Service();

    /// Of this service alone.
    const std::string& name() const noexcept;
    std::uint16_t port() const noexcept;
    Recorder& events() noexcept;
    const Leftovers& leftovers() const noexcept;

    void drain(std::chrono::steady_clock::duration limit);
    void stop();

    /// Waits until it has stopped.
    bool over(std::chrono::steady_clock::duration limit = patience);

    /// What it said when it stopped.
    Result<void> result();

    /// Instances and sessions that there are now.
    std::size_t instances();
    std::size_t sessions();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// The pid in the name of an instance.
inline pid_t pid_of(const std::string& instance) { return std::atoi(instance.c_str() + std::string("pid ").size()); }

/// A process, whoever has its number later.
class ProcessHandle {
public:
    explicit ProcessHandle(pid_t pid) : descriptor_(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))) {}

    explicit operator bool() const noexcept { return static_cast<bool>(descriptor_); }
    void kill() const { ::syscall(SYS_pidfd_send_signal, descriptor_.get(), SIGKILL, nullptr, 0); }

    /// Waits until it has ended with all of its threads; it may be a zombie then.
    bool wait_for_end() const
    {
        pollfd ended{descriptor_.get(), POLLIN, 0};
        return ::poll(&ended, 1, static_cast<int>(std::chrono::milliseconds(patience).count())) == 1;
    }

private:
    UniqueFd descriptor_;
};

/// What a process has read or written so far: `rchar` or `wchar`, as the system counts it.
inline std::uint64_t bytes_of(pid_t pid, const std::string& what)
{
    std::ifstream counters("/proc/" + std::to_string(pid) + "/io");
    std::string name;
    std::uint64_t count = 0;
    while (counters >> name >> count)
        if (name == what + ":")
            return count;
    return 0;
}

/// Whether there is such a process, zombies not included.
inline bool runs(pid_t pid)
{
    const auto state = instancer::process_stat(std::to_string(pid), 3);
    return !state.empty() && state != "Z" && state != "X";
}

}  // namespace service_test
