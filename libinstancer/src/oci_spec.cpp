// SPDX-License-Identifier: MIT
#include "oci_spec.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/process/client_environment.hpp>
#include <instancer/detail/process/placeholders.hpp>
#include <instancer/detail/process/supervisor_message.hpp>

#include "container_paths.hpp"
#include "oci_rootless.hpp"

namespace instancer::detail::inline oci {

using nlohmann::json;

namespace {

/// How many terminals one container may open: all on a host share a number of them. A guess.
constexpr auto terminals = "max=64";

/// Names become parts of a container's id, which is a file name.
bool is_valid_name(std::string_view name)
{
    const auto is_plain = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    return !name.empty() && name.front() != '-' && std::ranges::all_of(name, is_plain);
}

json mount(const std::string& target, const char* type, std::vector<std::string> options)
{
    return {{"destination", target}, {"type", type}, {"source", type}, {"options", std::move(options)}};
}

json bound(const std::string& source, const std::string& target)
{
    // Not recursive: read-only would not hold for what is mounted below.
    return {{"destination", target},
            {"type", "bind"},
            {"source", source},
            {"options", {"bind", "ro", "nosuid", "nodev", "rprivate"}}};
}

json memory(const std::string& target, std::uint64_t size, const OciUser& user)
{
    // A runtime may give it the mode of the directory that it covers, so that the owner matters.
    std::vector<std::string> options = {
        "nosuid", "nodev", "noexec", "mode=1777", "uid=" + std::to_string(user.uid), "gid=" + std::to_string(user.gid)};
    if (size != 0)
        options.push_back("size=" + std::to_string(size));
    return mount(target, "tmpfs", std::move(options));
}

json system_mounts(const OciOptions& options)
{
    json mounts = {
        mount("/proc", "proc", {"nosuid", "noexec", "nodev"}),
        mount("/dev", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=64k"}),
        mount("/dev/pts", "devpts",
              {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5", terminals}),
        mount("/dev/shm", "tmpfs",
              {"nosuid", "noexec", "nodev", "mode=1777",
               "size=" + (options.limits.tmp != 0 ? std::to_string(options.limits.tmp) : std::string("64m"))}),
        mount("/dev/mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
        mount("/sys", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
    };
    mounts.push_back(bound(options.init, supervisor_path));
    return mounts;
}

/// How far below the root directory it is.
std::ptrdiff_t depth_of(const json& mount) { return std::ranges::count(mount["destination"].get<std::string>(), '/'); }

json mounts_of(const OciOptions& options, const OciUser& user)
{
    auto mounts = system_mounts(options);
    const auto first = static_cast<std::ptrdiff_t>(mounts.size());
    const auto has = [&](const std::string& target) {
        return std::ranges::any_of(mounts, [&](const auto& mount) { return mount["destination"] == target; });
    };
    const auto add = [&](const json& mount) {
        if (!has(mount["destination"]))
            mounts.push_back(mount);
    };
    for (const auto& extra : options.tmpfs)
        add(memory(extra.target, extra.size, user));
    for (const auto& from_host : options.mounts)
        add(bound(from_host.source, from_host.target));
    for (const auto& part : options.root.binds)
        add(bound(part.source, part.target));
    add(memory("/tmp", options.limits.tmp, user));
    for (const auto& volume : options.image.volumes)
        add(memory(volume, options.limits.tmp, user));
    if (const auto directory = secret_directory(options.secret); !directory.empty())
        add(mount(directory, "tmpfs", {"nosuid", "nodev", "noexec", "mode=0755", "uid=0", "gid=0", "size=64k"}));
    // None hides what is mounted below it.
    std::stable_sort(mounts.begin() + first, mounts.end(),
                     [](const json& one, const json& other) { return depth_of(one) < depth_of(other); });
    return mounts;
}

json environment_of(const OciOptions& options, const OciUser& user)
{
    std::map<std::string, std::string> all = {{"PATH", std::string(default_search_path)}, {"HOME", user.home}};
    if (options.pty != TerminalMode::none)
        all["TERM"] = "xterm";
    for (const auto* some : {&options.image.env, &options.env})
        for (const auto& [name, value] : *some)
            all[name] = value;
    auto environment = json::array();
    for (const auto& [name, value] : all)
        environment.push_back(name + "=" + value);
    return environment;
}

/// Sets a variable, in place of what it was.
void set_variable(json& environment, const std::string& name, const std::string& value)
{
    const auto begins = [&](const json& entry) { return entry.get<std::string>().starts_with(name + "="); };
    const auto found = std::ranges::find_if(environment, begins);
    if (found == environment.end())
        environment.push_back(name + "=" + value);
    else
        *found = name + "=" + value;
}

json process_of(const OciOptions& options, const OciUser& user)
{
    json arguments = {supervisor_path, "supervise"};
    switch (options.pty) {
    case TerminalMode::none: break;
    case TerminalMode::cooked: arguments.push_back("terminal=cooked"); break;
    case TerminalMode::echo: arguments.push_back("terminal=echo"); break;
    case TerminalMode::raw: arguments.push_back("terminal=raw"); break;
    }
    if (options.io == ContainerIo::port && is_rootless())
        arguments.push_back("sockets=");
    arguments.push_back("--");
    for (const auto& argument : container_command(options))
        arguments.push_back(argument);

    const auto limit = [](const char* type, std::uint64_t value) {
        return json({{"type", type}, {"soft", value}, {"hard", value}});
    };
    json limits = json::array();
    limits.push_back(limit("RLIMIT_CORE", options.limits.core));
    if (options.limits.nofile != 0)
        limits.push_back(limit("RLIMIT_NOFILE", options.limits.nofile));

    const auto& directory = options.image.working_directory;
    const auto none = json::array();
    const auto& privileges = options.privileges;
    const json capabilities = privileges.capabilities;
    auto groups = user.groups;
    groups.insert(groups.end(), privileges.groups.begin(), privileges.groups.end());
    return {
        {"terminal", false},
        {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", std::move(groups)}}},
        {"args", std::move(arguments)},
        {"env", environment_of(options, user)},
        {"cwd", directory.empty() ? "/" : directory},
        {"capabilities",
         {{"bounding", capabilities},
          {"effective", capabilities},
          {"inheritable", none},
          {"permitted", capabilities},
          {"ambient", none}}},
        {"rlimits", std::move(limits)},
        {"noNewPrivileges", !privileges.setuid},
    };
}

}  // namespace

Result<void> check(const OciOptions& options, std::string_view service)
{
    const auto bad = [](std::string text) { return fail(Errc::bad_request, std::move(text)); };
    for (const auto name : {std::string_view(options.daemon), service})
        if (!is_valid_name(name))
            return bad("'" + std::string(name) +
                       "': a name is made of letters, digits, '_' and '-', and does not begin with '-'");
    if (options.root.empty() && !options.image.root.is_absolute())
        return bad("'" + options.image.root.string() + "': the path of the container's files must be absolute");
    if (container_command(options).empty())
        return bad("no command is named, and the image has none; name one");
    if (options.pty != TerminalMode::none && options.io == ContainerIo::port)
        return bad("a terminal needs standard streams (stdio) instead of a port");
    if (options.stderr_to == StderrTo::client && options.io == ContainerIo::port)
        return bad("with a port the program's output is no part of the connection; let it go to the log");
    return check_paths(options.mounts, options.tmpfs, options.secret);
}

Result<std::uint16_t> service_port(const OciOptions& options)
{
    if (options.io == ContainerIo::stdio)
        return 0;
    if (options.port != 0)
        return options.port;
    const auto& ports = options.image.exposed_ports;
    if (ports.size() == 1)
        return ports.front();
    std::string exposed = ports.empty() ? "the image exposes no port" : "the image exposes";
    for (const auto port : ports)
        exposed += " " + std::to_string(port);
    return fail(Errc::bad_request,
                exposed + ", and just one TCP port is needed; say which with --port N, or use --stdio");
}

std::string container_user(const OciOptions& options)
{
    if (options.users)
        return std::to_string(options.users->first()) + ":" + std::to_string(options.users->first());
    if (!options.user.empty())
        return options.user;
    const auto name = options.image.user.substr(0, options.image.user.find(':'));
    const bool is_root = name == "root" || name.find_first_not_of('0') == name.npos;
    return is_root ? "65534:65534" : options.image.user;
}

std::vector<std::string> container_command(const OciOptions& options)
{
    auto all = options.image.entrypoint;
    const auto& rest = options.command.empty() ? options.image.command : options.command;
    all.insert(all.end(), rest.begin(), rest.end());
    return all;
}

json container_spec(const OciOptions& options, const OciUser& user, const std::string& root, const std::string& service)
{
    auto namespaces = json::array();
    for (const auto* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"})
        namespaces.push_back({{"type", type}});
    return {
        {"ociVersion", "1.0.2"},
        {"process", process_of(options, user)},
        {"root", {{"path", root}, {"readonly", options.read_only}}},
        {"hostname", service},
        {"mounts", mounts_of(options, user)},
        {"linux",
         {{"namespaces", std::move(namespaces)},
          // Nobody else is on this network.
          {"sysctl", {{"net.ipv4.ip_unprivileged_port_start", "0"}}},
          {"maskedPaths",
           {"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/kpagecgroup",
            "/proc/kpagecount", "/proc/kpageflags", "/proc/latency_stats", "/proc/slabinfo", "/proc/vmallocinfo",
            "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap",
            "/sys/firmware"}},
          {"readonlyPaths", {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}}}},
    };
}

json container_resources(const ContainerLimits& limits)
{
    auto resources = json::object();
    if (limits.memory != 0)
        resources["memory"] = {{"limit", limits.memory}, {"swap", limits.memory}};
    if (limits.pids != 0)
        resources["pids"] = {{"limit", limits.pids}};
    if (limits.cpus > 0)
        resources["cpu"] = {{"period", 100'000}, {"quota", static_cast<std::int64_t>(limits.cpus * 100'000)}};
    return resources;
}

void personalize(json& spec, const OciOptions& options, const InstanceRequest& request, const std::string& secret)
{
    auto& process = spec["process"];
    for (const auto& [name, value] : client_environment(request, options.client_env))
        set_variable(process["env"], name, value);
    if (const auto port = listen_port_of(request))
        for (const auto* key : {"args", "env"})
            for (auto& text : process[key])
                text = replaced(text.get<std::string>(), listen_port_placeholder, std::to_string(*port));
    for (const auto& [name, value] : request.environment())
        set_variable(process["env"], name, value);
    if (!secret.empty())
        set_variable(process["env"], options.secret.variable, secret);
}

void set_user(json& spec, const OciUser& before, uid_t user)
{
    auto& now = spec["process"]["user"];
    now["uid"] = now["gid"] = user;
    const std::pair<std::string, std::string> owners[] = {
        {"uid=" + std::to_string(before.uid), "uid=" + std::to_string(user)},
        {"gid=" + std::to_string(before.gid), "gid=" + std::to_string(user)}};
    for (auto& mount : spec["mounts"])
        for (auto& option : mount["options"])
            for (const auto& [old, owner] : owners)
                if (option == old)
                    option = owner;
}

void set_network(json& spec, const std::string& path)
{
    for (auto& space : spec["linux"]["namespaces"])
        if (space["type"] == "network")
            space["path"] = path;
}

}  // namespace instancer::detail::inline oci
