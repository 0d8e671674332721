// SPDX-License-Identifier: MIT
#include "oci_runtime.hpp"

#include <chrono>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <system_error>

#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/process/spawn.hpp>
#include <instancer/system/make_pipe.hpp>

namespace instancer::detail::inline oci {

namespace {

constexpr std::chrono::seconds call_patience{10};

/// Reads until the end, for `call_patience` at most.
std::string read_all(int pipe)
{
    const auto deadline = std::chrono::steady_clock::now() + call_patience;
    std::string text;
    char buffer[4096];
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd ready{pipe, POLLIN, 0};
        if (left.count() <= 0 || ::poll(&ready, 1, static_cast<int>(left.count())) != 1)
            return text;
        const auto size = ::read(pipe, buffer, sizeof buffer);
        if (size <= 0)
            return text;
        text.append(buffer, static_cast<std::size_t>(size));
    }
}

/// Runs a program to its end, or kills it. Returns what it wrote; empty where it cannot be executed.
std::string output_of(const std::vector<std::string>& command)
{
    auto pipe = make_pipe();
    if (!pipe)
        return {};
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, pipe->writer.get(), 1);
    ::posix_spawn_file_actions_adddup2(&actions, pipe->writer.get(), 2);
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const auto& argument : command)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int error = ::posix_spawn(&pid, arguments[0], &actions, nullptr, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0)
        return {};
    pipe->writer.reset();
    auto text = read_all(pipe->reader.get());
    ::kill(pid, SIGKILL);
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {}
    return text;
}

}  // namespace

Result<OciRuntime> OciRuntime::find(const std::string& name)
{
    const auto look = [](const std::string& program) {
        ProcessOptions options;
        options.command = {program};
        return find_program(options);
    };
    auto path = look(name.empty() ? "crun" : name);
    if (!path && name.empty())
        path = look("runc");
    if (!path && name.empty())
        return fail(Errc::bad_request, "there is no container runtime; install crun (apt install crun)");
    if (!path)
        return fail(Errc::bad_request, "the container runtime " + path.error().text() +
                                           "; install it (apt install crun), or name another");
    const auto output = output_of({*path, "--version"});
    const auto version = output.substr(0, output.find('\n'));
    if (version.find(" version ") == version.npos)
        return fail(Errc::bad_request, *path + " is no container runtime: it does not say its version; name crun, runc "
                                               "or another with the same command line");
    return OciRuntime(*path, version.starts_with("crun "));
}

std::vector<std::string> OciRuntime::arguments(const std::string& state) const
{
    std::vector<std::string> all = {path_, "--root", state};
    if (is_crun_)
        all.emplace_back("--cgroup-manager=disabled");
    return all;
}

std::vector<std::string> OciRuntime::run_arguments(const std::string& state, const std::string& bundle,
                                                   const std::string& id) const
{
    auto all = arguments(state);
    for (const auto& argument : {std::string("run"), std::string("--preserve-fds=1"), "--bundle=" + bundle, id})
        all.push_back(argument);
    return all;
}

std::vector<std::string> OciRuntime::remove_all(const std::string& state) const
{
    std::error_code error;
    std::vector<std::string> ids;
    for (std::filesystem::directory_iterator at(state, error), end; !error && at != end; at.increment(error))
        ids.push_back(at->path().filename().string());
    for (const auto& id : ids)
        remove(state, id);
    return ids;
}

void OciRuntime::remove(const std::string& state, const std::string& id) const
{
    auto all = arguments(state);
    for (const auto* argument : {"delete", "--force"})
        all.emplace_back(argument);
    all.push_back(id);
    static_cast<void>(output_of(all));
}

}  // namespace instancer::detail::inline oci
