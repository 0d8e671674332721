// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <pwd.h>
#include <sys/stat.h>

#include "daemon/system.hpp"
#include "modes/container_checks.hpp"
#include "modes/exec/exec.hpp"
#include "modes/oci/oci.hpp"
#include "options/options.hpp"
#include "sandbox/sandbox.hpp"

namespace instancer::daemon {

namespace fs = std::filesystem;

namespace {

bool is_below(const fs::path& path, const fs::path& directory)
{
    return std::mismatch(directory.begin(), directory.end(), path.begin(), path.end()).first == directory.end();
}

/// Directories of which every sandbox has its own.
constexpr std::array own_directories = {"/dev", "/proc", "/sys", "/tmp"};

/// Directories in which much of this host is kept, or its secrets.
constexpr std::array host_directories = {"/", "/etc", "/home", "/root", "/run", "/var"};

/// Whether it is the home directory of the user whom it belongs to.
bool is_home(const fs::path& directory)
{
    struct stat status {};
    const auto* const user = ::stat(directory.c_str(), &status) == 0 ? ::getpwuid(status.st_uid) : nullptr;
    std::error_code error;
    return user != nullptr && fs::equivalent(directory, user->pw_dir, error);
}

/// Files and directories that the daemon reads or writes, each with the option that names it.
std::vector<std::pair<std::string_view, std::string>> files_of_daemon(const Settings& settings,
                                                                      const ServiceSettings& service)
{
    static constexpr std::string_view of_instances[] = {"workdir", "dir-template", "rootfs"};
    std::vector<std::pair<std::string_view, std::string>> files;
    for (const auto& option : options()) {
        const bool is_path = option.type.placeholder == "FILE" || option.type.placeholder == "DIR";
        const bool is_ours = includes(option.scope, scope_of(service.mode)) || includes(option.scope, Scope::daemon);
        if (!is_path || !is_ours || std::ranges::find(of_instances, option.name) != std::end(of_instances))
            continue;
        if (auto path = option.print(View(settings, &service)); !path.empty())
            files.emplace_back(option.name, std::move(path));
    }
    for (const auto& key : service.authentication.keys)
        files.emplace_back("auth-key", key);
    for (const auto& address : service.listen)
        if (address.has_file())
            files.emplace_back("listen", address.name());
    return files;
}

/// What the daemon reads or writes in `directory`; empty for nothing.
std::string kept_in(const fs::path& directory, const Settings& settings)
{
    const auto is_in = [&](const std::string& path) {
        std::error_code error;
        return is_below(fs::weakly_canonical(path, error), directory);
    };
    if (!settings.file.empty() && is_in(settings.file))
        return settings.file + ", the configuration";
    for (const auto& service : settings.services)
        for (const auto& [option, path] : files_of_daemon(settings, service))
            if (is_in(path))
                return path + " of " + settings.say(option);
    return {};
}

void check_directory(Checker& checker)
{
    const auto& text = checker.service.working_directory;
    std::error_code error;
    const auto directory = fs::canonical(text, error);
    if (text.empty() || error)
        return;
    const auto is = [&](const char* path) { return directory == path; };
    if (std::any_of(host_directories.begin(), host_directories.end(), is) || is_home(directory))
        checker.refuse("workdir", text +
                                      " holds more of this host than instances should see; put what they need into a "
                                      "directory of its own");
    else if (std::any_of(own_directories.begin(), own_directories.end(), [&](const char* own) {
                 return is(own) || (is_below(directory, own) && !is_below(own, "/tmp"));
             }))
        checker.refuse("workdir", "each instance has a " + text + " of its own; name another directory");
    else if (const auto kept = kept_in(directory, checker.settings); !kept.empty())
        checker.refuse("workdir", "instances would see " + kept +
                                      ", which is in it; put what they need into a directory of its own");
}

void check_placeholders(Checker& checker)
{
    const auto& service = checker.service;
    const auto uses = [](const std::string& text) { return text.find("{dir}") != text.npos; };
    const auto refuse = [&](std::string_view option) {
        checker.refuse(option, "{dir} cannot work together with " + checker.say("sandbox") +
                                   ": each instance has a /tmp of its own to write to; write /tmp, or remove one of "
                                   "them");
    };
    if (std::any_of(service.command.begin(), service.command.end(), uses))
        refuse("command");
    if (std::any_of(service.env.begin(), service.env.end(), [&](const auto& entry) { return uses(entry.second); }))
        refuse("env");
    if (uses(service.working_directory))
        refuse("workdir");
}

}  // namespace

void check_sandbox(Checker& checker)
{
    const auto& service = checker.service;
    check_placeholders(checker);
    check_directory(checker);
    check_container_mounts(checker);
    check_runtime(checker);
    if (service.pty != TerminalMode::none && service.stderr_to != StderrTo::client)
        checker.refuse("stderr", "cannot work together with " + checker.say("pty") + " and " + checker.say("sandbox") +
                                     ": the terminal is its standard error as well; remove one of them");
    check_users(checker);
    if (!service.user.empty())
        if (const auto user = find_user(service.user); !user)
            checker.refuse("user", user.error());
    if (checker.has("limit-log"))
        checker.refuse("limit-log", "is for output that an engine keeps, and there is none; remove it");
}

}  // namespace instancer::daemon
