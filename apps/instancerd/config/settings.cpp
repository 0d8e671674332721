// SPDX-License-Identifier: MIT
#include "config/settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <thread>

#include <sched.h>
#include <unistd.h>

#include <instancer/identity.hpp>

#include "config/text.hpp"
#include "daemon/system.hpp"
#include "options/options.hpp"
#include "sandbox/sandbox.hpp"

namespace instancer::daemon {

std::size_t processors()
{
    cpu_set_t set;
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
        return static_cast<std::size_t>(CPU_COUNT(&set));
    return std::max(std::thread::hardware_concurrency(), 1u);
}

Parsed<Verbosity> parse_verbosity(const std::string& text)
{
    static constexpr std::pair<std::string_view, std::pair<LogLevel, std::string_view>> scale[] = {
        {"0", {LogLevel::debug, "DEBUG"}},     {"1", {LogLevel::error, "ERROR"}},
        {"2", {LogLevel::warning, "WARNING"}}, {"3", {LogLevel::info, "INFO"}},
        {"4", {LogLevel::debug, "DEBUG"}},     {"10", {LogLevel::debug, "DEBUG"}},
        {"20", {LogLevel::info, "INFO"}},      {"30", {LogLevel::warning, "WARNING"}},
        {"40", {LogLevel::error, "ERROR"}},    {"50", {LogLevel::error, "CRITICAL"}}};
    for (const auto& [number, meaning] : scale)
        if (number == text)
            return Verbosity(meaning.first, meaning.second);
    return wrong(in_quotes(text) + " is no level; write 10 (debug), 20 (info), 30 (warning), 40 (error) or 50, or one "
                                   "of 1 to 4, from errors alone to everything");
}

ServiceSettings::ServiceSettings(std::string service_name, Mode service_mode)
    : name(std::move(service_name)), mode(service_mode)
{
    pool.max_starting = 2 * processors();
    if (mode == Mode::relay)
        auth_timeout = std::chrono::seconds(5);
    if (mode == Mode::docker || mode == Mode::oci) {
        limits.memory = docker.limits.memory;
        limits.cpus = docker.limits.cpus;
        limits.pids = docker.limits.pids;
        limits.nofile = docker.limits.nofile;
        limits.tmp = docker.limits.tmp;
    }
    if (mode == Mode::docker)
        limits.log = docker.limits.log;
}

void ServiceSettings::complete()
{
    using std::chrono::milliseconds;
    if (!has("max-per-owner"))
        pool.max_per_owner = auth == Auth::open ? 0 : 4;
    // Typing takes longer than sending.
    if (!has("auth-timeout") && has_line(auth))
        auth_timeout = std::chrono::minutes(1);
    if (!has("linger"))
        pool.linger = auth == Auth::open ? milliseconds(0) : milliseconds(300'000);
    if (!has("idle") && mode == Mode::exec && io == ProcessIo::socket)
        pool.idle = milliseconds(0);
    // As the engine's own command line does.
    if (const char* host = std::getenv("DOCKER_HOST"); mode == Mode::docker && !has("engine") && host && *host)
        docker.engine = host;
    // A terminal has one screen.
    if (!has("stderr") && pty != TerminalMode::none)
        stderr_to = StderrTo::client;
    if (!has("client-env"))
        client_env = pool.warm == 0;
    if (!has("max-instances") && ports)
        pool.max_instances = std::min(pool.max_instances, ports->size());
    if (sandbox)
        complete_sandbox(*this);
    if (!has("max-instances") && users)
        pool.max_instances = std::min(pool.max_instances, users->size());
    pool.single_use = single_use();
    if (mode == Mode::relay && !has("listen"))
        listen.push_back(Address::tcp({}, RelaySettings::port));
}

std::vector<std::string> files_of(const Settings& settings, const ServiceSettings& service)
{
    std::vector<std::string> files;
    for (const auto& option : options())
        if (option.traits.reload && includes(option.scope, scope_of(service.mode)))
            if (auto file = option.print(View(settings, &service)); !file.empty())
                files.push_back(std::move(file));
    return files;
}

Settings::Settings() : threads(processors()) {}

Parsed<Address> parse_address_at(const Settings& settings, std::string_view text)
{
    auto address = parse_address(text);
    return address ? settings.resolve(*address) : std::move(address);
}

std::string Settings::daemon_name() const { return daemon_name(machine_identity()); }

std::string Settings::resolve(const std::string& path) const
{
    if (path.empty())
        return path;
    return std::filesystem::absolute(base / path).lexically_normal().string();
}

Address Settings::resolve(const Address& address) const
{
    return address.has_file() ? Address::unix_socket(resolve(address.name())) : address;
}

std::string Settings::daemon_name(const std::string& machine) const
{
    if (!name.empty())
        return name;
    std::vector<std::string> parts;
    if (!file.empty()) {
        std::error_code ignored;
        parts.push_back(std::filesystem::weakly_canonical(std::filesystem::absolute(file), ignored).string());
    } else {
        for (const auto& service : services) {
            if (service.mode == Mode::tunnel_server)
                parts.push_back(service.tunnel.agents_listen().text());
            for (const auto& address : service.listen)
                parts.push_back(address.text());
        }
        std::sort(parts.begin(), parts.end());
        if (!has_lasting_name())
            parts.push_back(std::to_string(::getpid()));
    }
    parts.push_back(machine);
    std::string whole;
    for (const auto& part : parts)
        whole += part + '\0';
    return (file.empty() ? "listen-" : "config-") + Identity("instancerd", whole, "").owner().hex().substr(0, 12);
}

bool Settings::has_lasting_name() const
{
    if (!name.empty() || !file.empty())
        return true;
    // Port 0 is another port every time.
    const auto is_fixed = [](const Address& address) {
        return address.kind() != Address::Kind::tcp || address.port() != 0;
    };
    return std::all_of(services.begin(), services.end(), [&](const auto& service) {
        // Agents of one server may be many.
        if (service.mode == Mode::tunnel_agent)
            return false;
        if (service.mode == Mode::tunnel_server)
            return is_fixed(service.tunnel.agents_listen());
        return std::all_of(service.listen.begin(), service.listen.end(), is_fixed);
    });
}

std::string Settings::program(const ServiceSettings& service) const
{
    const auto& program = service.command.front();
    const bool is_path = program.find('/') != program.npos && program.find("{dir}") == program.npos;
    return is_path ? resolve(program) : program;
}

std::string Settings::init_program() const { return init.empty() ? find_init() : init; }

namespace {

std::string in_json(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

std::string Settings::say(std::string_view option, std::string_view value) const
{
    const auto* const known = find_option(option);
    const auto shape = known ? known->type.shape : Shape::text;
    if (file.empty()) {
        const auto switched = "--" + std::string(option);
        if (value.empty() || shape == Shape::flag)
            return switched;
        return switched + (value.find(' ') == value.npos ? " " + std::string(value) : " '" + std::string(value) + "'");
    }
    const auto key = key_of(option);
    if (value.empty())
        return in_json(key);
    const bool is_bare = shape == Shape::number || shape == Shape::flag;
    const auto shown = is_bare ? std::string(value) : in_json(value);
    const auto dot = key.find('.');
    if (dot == key.npos)
        return in_json(key) + ": " + shown;
    return in_json(key.substr(0, dot)) + ": {" + in_json(key.substr(dot + 1)) + ": " + shown + "}";
}

}  // namespace instancer::daemon
