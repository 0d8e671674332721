// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>

#include <sys/resource.h>
#include <unistd.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/unbound_limits.hpp>

#include "daemon/system.hpp"
#include "modes/exec/exec.hpp"
#include "sandbox/sandbox.hpp"

namespace instancer::daemon {

namespace {

bool is_interpreter(const std::string& program)
{
    static constexpr std::string_view known[] = {"python", "pypy", "perl", "ruby", "node", "nodejs", "php",
                                                 "lua",    "sh",   "bash", "dash", "zsh",  "ksh",    "tclsh"};
    const auto file = std::filesystem::path(program).filename().string();
    const auto name = std::string_view(file).substr(0, file.find_last_not_of("0123456789.") + 1);
    return std::find(std::begin(known), std::end(known), name) != std::end(known);
}

/// The path of the script that the command has an interpreter run; empty where that cannot be said for sure.
std::string script_of(const Settings& settings, const ServiceSettings& service)
{
    const auto& command = service.command;
    if (!is_interpreter(command.front()))
        return {};
    // With letters such as those of -c, -e and -m the program is no file, or they take the next word.
    const auto is_plain = [](const std::string& word) {
        return word.size() > 1 && word.front() == '-' && word.find_first_not_of("uBbqvwx", 1) == word.npos;
    };
    const auto script = std::find_if_not(command.begin() + 1, command.end(), is_plain);
    if (script == command.end() || script->front() == '-' || !std::filesystem::path(*script).has_extension())
        return {};
    auto directory = service.working_directory;
    if (directory.empty())
        directory = service.dir_template.empty() ? settings.resolve(".") : "{dir}";
    if (!service.dir_template.empty() && directory.starts_with("{dir}"))
        directory.replace(0, 5, service.dir_template);
    const auto path = (std::filesystem::path(directory) / *script).lexically_normal().string();
    return path.find('{') == path.npos ? path : std::string();
}

/// Whether it is certain that nothing has that path.
bool is_missing(const std::string& path)
{
    std::error_code error;
    return !std::filesystem::exists(path, error) && !error;
}

/// The first of what a copy of the directory could not hold: a FIFO, a socket, a device. Empty where there is none.
std::string find_special_file(const std::string& directory)
{
    namespace fs = std::filesystem;
    std::error_code error;
    for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
        const auto type = at->symlink_status(error).type();
        if (type != fs::file_type::regular && type != fs::file_type::directory && type != fs::file_type::symlink)
            return at->path().string();
    }
    return {};
}

void check_connection(Checker& checker)
{
    const auto& service = checker.service;
    const auto io = service.io;
    const bool uses_port = std::any_of(service.command.begin(), service.command.end(), [](const auto& argument) {
        return argument.find("{port}") != std::string::npos;
    });
    if (io != ProcessIo::port && uses_port)
        checker.refuse("command", "{port} needs " + checker.say("io", "port") + "; add that or remove {port}");
    if (io == ProcessIo::port && checker.has("stderr") && service.stderr_to == StderrTo::client)
        checker.refuse("stderr", "client cannot work together with " + checker.say("io", "port") +
                                     ", where the connection is the process's own; use log or null");
}

}  // namespace

void check_users(Checker& checker)
{
    const auto& service = checker.service;
    const auto& users = service.users;
    if (!users)
        return;
    if (::geteuid() != 0)
        checker.refuse("user",
                       "only root can start processes as somebody else; start instancerd as root or remove this");
    if (const auto name = known_user(users->first(), users->last()); !name.empty())
        checker.refuse("user", "holds the user " + name +
                                   ", whose files instances would own; write a range that nobody "
                                   "has, as in 70000-70063");
    if (checker.has("max-instances") && service.pool.max_instances > users->size())
        checker.refuse("max-instances", "is more than the " + std::to_string(users->size()) + " users of " +
                                            checker.say("user") + "; lower it or widen that");
    if (service.pool.warm > users->size())
        checker.refuse("warm", "is more than the " + std::to_string(users->size()) + " users of " +
                                   checker.say("user") + "; lower it or widen that");
}

namespace {

void check_limits(Checker& checker)
{
    const auto& service = checker.service;
    for (const auto option : {"limit-tmp", "limit-log"})
        if (checker.has(option))
            checker.refuse(option, std::string("cannot be enforced for a process; remove it or use ") +
                                       (option == std::string_view("limit-tmp") ? checker.say("sandbox", "true")
                                        : checker.settings.file.empty()         ? "instancerd docker"
                                                                                : "\"mode\": \"docker\""));
    if (rlimit ours{}; ::getrlimit(RLIMIT_CORE, &ours) == 0 && ::geteuid() != 0 && service.limits.core > ours.rlim_max)
        checker.refuse("limit-core", "is more than the daemon's own limit, " + std::to_string(ours.rlim_max) +
                                         "; lower it, or raise that (ulimit -Hc, LimitCORE= of a unit)");
    const bool is_root = ::geteuid() == 0;
    uid_t runs_as = ::geteuid();
    check_users(checker);
    if (!service.user.empty()) {
        const auto user = find_user(service.user);
        if (!user)
            checker.refuse("user", user.error());
        else if (!is_root && (user->uid != ::geteuid() || user->gid != ::getegid()))
            checker.refuse("user",
                           "only root can start processes as somebody else; start instancerd as root or remove this");
        if (user)
            runs_as = user->uid;
    }
    if (checker.has("limit-pids") && service.limits.pids != 0 && runs_as == 0 && !service.users &&
        !can_limit_groups(GroupLimit::pids))
        checker.refuse("limit-pids", "does not bind root; add " + checker.say("user", "NAME") + ", or use docker mode");
}

void check_files(Checker& checker)
{
    const auto& service = checker.service;
    if (!service.reads("command") || !service.reads("env"))
        return;
    if (service.command.empty() || service.command.front().empty()) {
        checker.refuse("command", checker.settings.file.empty()
                                      ? "there is no command to run; put it last, after --, as in: -- /bin/cat"
                                      : "has no command to run; add \"command\": [\"PROGRAM\", \"ARGUMENT\", ...]");
        return;
    }
    // What holds a placeholder is known only when an instance starts.
    const auto is_fixed = [](const std::string& text) { return text.find("{dir}") == std::string::npos; };
    ProcessOptions process;
    process.command = {checker.settings.program(service)};
    process.working_directory = checker.settings.resolve(".");
    process.env = service.env;
    if (const auto found = find_program(process); !found)
        checker.refuse("command", found.error().text());
    const auto& directory = service.working_directory;
    if (!directory.empty() && is_fixed(directory) && !is_directory(directory))
        checker.refuse("workdir", "there is no directory " + directory + "; create it or correct the path");
    if (const auto script = script_of(checker.settings, service); !script.empty() && is_missing(script))
        checker.refuse("command", "there is no script " + script + " for " + service.command.front() +
                                      " to run; correct the path");
    if (service.dir_template.empty())
        return;
    if (!is_directory(service.dir_template))
        checker.refuse("dir-template",
                       "there is no directory " + service.dir_template + "; create it or correct the path");
    else if (const auto special = find_special_file(service.dir_template); !special.empty())
        checker.refuse("dir-template",
                       "holds " + special + ", a FIFO, socket or device, which cannot be copied; remove it");
    if (!directory.empty() && is_fixed(directory) &&
        std::all_of(service.command.begin(), service.command.end(), is_fixed) &&
        std::all_of(service.env.begin(), service.env.end(), [&](const auto& entry) { return is_fixed(entry.second); }))
        checker.refuse("dir-template",
                       "is never used; write {dir} in the command or as " + checker.say("workdir", "{dir}"));
}

}  // namespace

void check_exec(Checker& checker)
{
    check_connection(checker);
    checker.service.sandbox ? check_sandbox(checker) : check_limits(checker);
    check_files(checker);
    checker.check_environment();
}

}  // namespace instancer::daemon
