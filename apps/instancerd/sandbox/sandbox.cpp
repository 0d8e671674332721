// SPDX-License-Identifier: MIT
#include "sandbox/sandbox.hpp"

#include <algorithm>
#include <filesystem>

#include <instancer/backend/find_program.hpp>
#include <instancer/backend/oci_backend.hpp>

#include "daemon/system.hpp"
#include "modes/container_backend.hpp"

namespace instancer::daemon {

namespace fs = std::filesystem;

namespace {

/// Where a program listens with `--io port`: each sandbox has a network of its own.
constexpr std::uint16_t port = 1337;

std::string with_port(std::string text)
{
    static constexpr std::string_view placeholder = "{port}";
    for (auto at = text.find(placeholder); at != text.npos; at = text.find(placeholder, at))
        text.replace(at, placeholder.size(), std::to_string(port));
    return text;
}

bool is_file(const fs::path& path)
{
    std::error_code error;
    return fs::is_regular_file(path, error);
}

/// A sandbox's root directory and command line while they are put together.
class Contents {
public:
    Contents(const Settings& settings, const ServiceSettings& service)
        : service_(service),
          directory_(service.working_directory.empty() ? settings.resolve(".") : service.working_directory)
    {
        if (!service.working_directory.empty()) {
            show(directory_);
            enter();
        }
    }

    Parsed<void> add_program(std::string program)
    {
        ProcessOptions process;
        process.command = {program};
        process.working_directory = directory_.string();
        process.env = service_.env;
        const auto found = find_program(process);
        if (!found)
            return wrong(found.error().text());
        if (!root.shows(*found)) {
            show(*found);
            program = *found;
        }
        command.push_back(std::move(program));
        return {};
    }

    void add_argument(const std::string& argument)
    {
        const auto path = (directory_ / argument).lexically_normal();
        if (!argument.empty() && is_file(path)) {
            show(path);
            if (argument.front() != '/')
                enter();
        }
        command.push_back(with_port(argument));
    }

    OciRoot root = OciRoot::of_host();
    std::vector<std::string> command;
    std::string working_directory = "/";

private:
    void show(const fs::path& path)
    {
        if (root.shows(path))
            return;
        root.binds.emplace_back(path.string(), missing_place(path).string());
    }

    /// Where links that are there already lead out of what is there.
    fs::path missing_place(fs::path path) const
    {
        std::error_code error;
        constexpr int most_links = 40;  // As the kernel follows.
        for (int i = 0; i < most_links && fs::is_symlink(path, error) && root.shows(path.parent_path()); ++i)
            path = (fs::canonical(path.parent_path(), error) / fs::read_symlink(path, error)).lexically_normal();
        return path;
    }

    /// Relative paths mean the same inside.
    void enter()
    {
        working_directory = directory_.string();
        if (!root.shows(directory_))
            root.directories.push_back(working_directory);
    }

    const ServiceSettings& service_;
    const fs::path directory_;
};

}  // namespace

void complete_sandbox(ServiceSettings& service)
{
    const ContainerLimits defaults;
    auto& limits = service.limits;
    const auto use = [&](const char* option, auto& limit, auto usual) {
        if (!service.has(option))
            limit = usual;
    };
    use("limit-memory", limits.memory, defaults.memory);
    use("limit-cpus", limits.cpus, defaults.cpus);
    use("limit-pids", limits.pids, defaults.pids);
    use("limit-tmp", limits.tmp, defaults.tmp);
}

Parsed<OciOptions> sandbox_options(const Settings& settings, const ServiceSettings& service)
{
    Contents contents(settings, service);
    if (const auto added = contents.add_program(settings.program(service)); !added)
        return wrong(added.error());
    for (std::size_t i = 1; i < service.command.size(); ++i)
        contents.add_argument(service.command[i]);

    OciOptions options;
    set_container_options(options, settings, service);
    options.root = std::move(contents.root);
    options.image.working_directory = std::move(contents.working_directory);
    options.command = std::move(contents.command);
    options.runtime = service.oci.runtime;
    options.init = settings.init_program();
    options.io = service.io == ProcessIo::port ? ContainerIo::port : ContainerIo::stdio;
    options.port = port;
    options.pty = service.pty;
    for (auto& [name, value] : options.env)
        value = with_port(std::move(value));
    if (service.io == ProcessIo::port)
        options.env.emplace_back("PORT", std::to_string(port));
    options.users = service.users;
    if (!service.user.empty()) {
        const auto user = find_user(service.user);
        if (!user)
            return wrong(user.error());
        options.user = std::to_string(user->uid) + ":" + std::to_string(user->gid);
    }
    options.tmpfs = service.docker.tmpfs;
    options.mounts = service.docker.mounts;
    return options;
}

Parsed<std::unique_ptr<RunningService>> prepare_sandbox(const OwnedSettings& settings, ServiceContext& context)
{
    auto options = sandbox_options(settings.daemon(), settings.service());
    if (!options)
        return wrong(options.error());
    return prepare_containers<OciBackend>(settings, context, std::move(*options));
}

}  // namespace instancer::daemon
