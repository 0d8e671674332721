// SPDX-License-Identifier: MIT
// instancerd as a child process, as a user starts it.
#pragma once

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/unique_fd.hpp>

#include <paths.hpp>

namespace daemon_test {

using namespace std::chrono_literals;

/// A child process whose output is collected while it runs. Killed when it goes out of scope.
class Child {
public:
    /// `environment` holds `NAME=VALUE` beside our own; `passed` becomes descriptor 3.
    explicit Child(const std::vector<std::string>& command, const std::vector<std::string>& environment = {},
                   int passed = -1, const std::string& directory = {})
    {
        int ends[2];
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        output_.reset(ends[0]);
        instancer::UniqueFd write_end(ends[1]);

        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, write_end.get(), 1);
        posix_spawn_file_actions_adddup2(&actions, write_end.get(), 2);
        if (passed >= 0)
            posix_spawn_file_actions_adddup2(&actions, passed, 3);
        if (!directory.empty())
            posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
        std::vector<char*> arguments, variables;
        for (const auto& argument : command)
            arguments.push_back(const_cast<char*>(argument.c_str()));
        arguments.push_back(nullptr);
        for (const auto& variable : environment)
            variables.push_back(const_cast<char*>(variable.c_str()));
        for (char** variable = environ; *variable; ++variable)
            variables.push_back(*variable);
        variables.push_back(nullptr);
        const int error = ::posix_spawnp(&pid_, arguments[0], &actions, nullptr, arguments.data(), variables.data());
        posix_spawn_file_actions_destroy(&actions);
        REQUIRE_MESSAGE(error == 0, "cannot start " << command[0]);
        handle_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
        reader_ = std::thread([this] { read_output(); });
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child()
    {
        if (!wait(0ms)) {
            signal(SIGTERM);
            if (!wait(5s))
                signal(SIGKILL);
            wait(5s);
        }
        // Whatever it left behind may hold the other end of the pipe.
        stop_.reset();
        reader_.join();
    }

    pid_t pid() const noexcept { return pid_; }
    void signal(int number) const { ::kill(pid_, number); }

    /// The exit code, 128 and the number after a signal; none when it still runs after `limit`.
    std::optional<int> wait(std::chrono::milliseconds limit = 20s)
    {
        if (code_)
            return code_;
        pollfd waiting{handle_.get(), POLLIN, 0};
        if (::poll(&waiting, 1, static_cast<int>(limit.count())) != 1)
            return std::nullopt;
        int status = 0;
        REQUIRE(::waitpid(pid_, &status, 0) == pid_);
        code_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return code_;
    }

    /// What it has written so far, to standard output and standard error.
    std::string log() const
    {
        const std::lock_guard lock(mutex_);
        return text_;
    }

    /// What it wrote, when it has ended and said all.
    std::string whole_log()
    {
        std::unique_lock lock(mutex_);
        changed_.wait_for(lock, 20s, [&] { return closed_; });
        return text_;
    }

    /// Waits until a line that is complete holds `part`, for the `nth` time; empty when that does not happen in time.
    std::string wait_for_line(const std::string& part, std::size_t nth = 1, std::chrono::milliseconds limit = 20s) const
    {
        std::unique_lock lock(mutex_);
        std::string found;
        changed_.wait_for(lock, limit, [&] {
            found = line_with(part, nth);
            return !found.empty() || closed_;
        });
        return found;
    }

    /// How many complete lines hold `part`.
    std::size_t count(const std::string& part) const
    {
        const std::lock_guard lock(mutex_);
        std::size_t number = 0;
        while (!line_with(part, number + 1).empty())
            ++number;
        return number;
    }

private:
    std::string line_with(const std::string& part, std::size_t nth) const
    {
        std::size_t begin = 0;
        for (std::size_t end; (end = text_.find('\n', begin)) != std::string::npos; begin = end + 1) {
            const auto line = text_.substr(begin, end - begin);
            if (line.find(part) != std::string::npos && --nth == 0)
                return line;
        }
        return {};
    }

    void read_output()
    {
        char buffer[4096];
        for (;;) {
            pollfd ready[2] = {{output_.get(), POLLIN, 0}, {stopped_.get(), 0, 0}};
            ::poll(ready, 2, -1);
            const auto count = ready[0].revents ? ::read(output_.get(), buffer, sizeof buffer) : 0;
            const std::lock_guard lock(mutex_);
            if (count > 0)
                text_.append(buffer, static_cast<std::size_t>(count));
            closed_ = count <= 0;
            changed_.notify_all();
            if (closed_)
                return;
        }
    }

    static std::pair<int, int> make_pipe()
    {
        int ends[2] = {-1, -1};
        REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
        return {ends[0], ends[1]};
    }

    std::pair<int, int> stop_ends_ = make_pipe();
    instancer::UniqueFd stopped_{stop_ends_.first};  ///< Hangs up when `stop_` is closed.
    instancer::UniqueFd stop_{stop_ends_.second};
    instancer::UniqueFd output_;
    instancer::UniqueFd handle_;
    pid_t pid_ = -1;
    std::optional<int> code_;
    mutable std::mutex mutex_;
    mutable std::condition_variable changed_;
    std::string text_;
    bool closed_ = false;
    std::thread reader_;
};

/// `instancerd ARGUMENTS`.
inline std::vector<std::string> instancerd(const std::vector<std::string>& arguments)
{
    std::vector<std::string> command = {test_paths::instancerd};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// An instancerd that serves. Give `127.0.0.1:0` as address, and ask it for the port that it got.
class Daemon : public Child {
public:
    /// Waits until as many listeners are open.
    explicit Daemon(const std::vector<std::string>& arguments, std::size_t listeners = 1)
        : Daemon(instancerd(arguments), {}, -1, listeners)
    {
    }

    Daemon(const std::vector<std::string>& command, const std::vector<std::string>& environment, int passed,
           std::size_t listeners = 1)
        : Child(command, environment, passed)
    {
        const auto line = wait_for_line(": listening on ", listeners);
        REQUIRE_MESSAGE(!line.empty(), "instancerd does not listen:\n" << log());
    }

    /// Where the `nth` listener that it reported listens, as in `127.0.0.1:40001`.
    std::string address(std::size_t nth = 1) const
    {
        const std::string mark = ": listening on ";
        const auto line = wait_for_line(mark, nth);
        return line.substr(line.find(mark) + mark.size());
    }

    std::uint16_t port(std::size_t nth = 1) const
    {
        const auto text = address(nth);
        return static_cast<std::uint16_t>(std::stoi(text.substr(text.rfind(':') + 1)));
    }

    /// SIGTERM, and the exit code.
    std::optional<int> terminate(std::chrono::milliseconds limit = 20s)
    {
        signal(SIGTERM);
        return wait(limit);
    }
};

}  // namespace daemon_test
