// SPDX-License-Identifier: MIT
#include "config/validate.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <tuple>

#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <instancer/backend/find_program.hpp>
#include <instancer/detail/process/group_limits.hpp>
#include <instancer/detail/text/contains_path.hpp>

#include "daemon/system.hpp"
#include "files/tokens.hpp"
#include "files/upstreams.hpp"
#include "modes/relay/relay.hpp"
#include "modes/tunnel/tunnel_settings.hpp"
#include "modes/tunnel/user_database.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

std::string text_of(const PortRange& ports)
{
    const auto first = std::to_string(ports.first());
    return ports.size() == 1 ? first : first + "-" + std::to_string(ports.last());
}

Place place_of(const ServiceSettings& service, std::string_view option)
{
    const auto found = service.given.find(option);
    return found == service.given.end() ? service.place : found->second;
}

/// Where an option of the whole daemon was given: in the file, or beside a service on the command line.
Place place_of(const Settings& settings, std::string_view option)
{
    const auto found = settings.given.find(option);
    if (found != settings.given.end())
        return found->second;
    return settings.services.empty() ? Place() : place_of(settings.services.front(), option);
}

/// Where a service listens, each with the option that says so.
std::vector<std::pair<std::string_view, Address>> listeners_of(const ServiceSettings& service)
{
    std::vector<std::pair<std::string_view, Address>> listeners;
    const auto add = [&](std::string_view option, const Address& address) {
        if (service.reads(option))
            listeners.emplace_back(option, address);
    };
    for (const auto& address : service.listen)
        listeners.emplace_back("listen", address);
    if (service.mode == Mode::relay && service.relay.control)
        add("control", *service.relay.control);
    if (service.mode != Mode::tunnel_server)
        return listeners;
    const auto& tunnel = service.tunnel;
    add("proxy", tunnel.agents_listen());
    if (tunnel.control)
        add("control", *tunnel.control);
    for (const auto& route : tunnel.routes)
        listeners.emplace_back("route", route.listen);
    if (!tunnel.routing_file.empty())
        if (const auto routes = load_routing(tunnel.routing_file))
            for (const auto& route : *routes)
                listeners.emplace_back("routing", route.listen);
    return listeners;
}

/// `A, B`
std::string names_of(const std::vector<std::pair<std::string, std::string>>& entries)
{
    std::string names;
    for (const auto& [name, value] : entries)
        names += (names.empty() ? "" : ", ") + name;
    return names;
}

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

/// Checks one service on its own.
class Checker {
public:
    Checker(const Settings& settings, const ServiceSettings& service, Problems& problems)
        : settings_(settings), service_(service), problems_(problems)
    {
    }

    void check()
    {
        if (is_tunnel(service_.mode))
            return check_tunnel();
        check_listen();
        check_traffic();
        check_access();
        if (service_.mode == Mode::forward)
            return check_forward();
        if (service_.mode == Mode::relay)
            return check_relay();
        check_clients();
        check_instances();
        if (service_.mode == Mode::exec) {
            check_process();
            check_process_limits();
            check_process_files();
        } else {
            check_container();
        }
        check_environment();
    }

private:
    bool has(std::string_view option) const { return service_.has(option); }
    std::string say(std::string_view option, std::string_view value = {}) const { return settings_.say(option, value); }

    /// A problem where `option` was written, or with the service as a whole when it was not.
    void refuse(std::string_view option, std::string text)
    {
        if (!follows_from_unread(option, text))
            problems_.emplace_back(place_of(service_, option), std::move(text));
    }

    /// Whether the complaint is about an option that could not be read, or names one: it would be a further, wrong one.
    bool follows_from_unread(std::string_view option, std::string_view text) const
    {
        return std::any_of(service_.unread.begin(), service_.unread.end(),
                           [&](const auto& unread) { return unread == option || text.find(say(unread)) != text.npos; });
    }

    void check_listen()
    {
        bool has_unix = false;
        if (service_.listen.empty())
            refuse("listen", "has no address to listen on; add " + say("listen", ":1337"));
        for (const auto& address : service_.listen) {
            if (address.kind() != Address::Kind::unix_socket)
                continue;
            has_unix = true;
            if (address.name().size() >= sizeof sockaddr_un::sun_path)
                refuse("listen", address.name() + " has " + std::to_string(address.name().size()) +
                                     " characters, the path of a Unix socket at most 107; choose a shorter one");
            if (const auto parent = std::filesystem::path(address.name()).parent_path(); !is_directory(parent))
                refuse("listen", "there is no directory " + parent.string() + "; create it first");
        }
        if (has("unix-mode") && !has_unix && service_.reads("listen"))
            refuse("unix-mode", "is for Unix sockets only; remove it, or listen on unix:/path");
    }

    void check_traffic()
    {
        const auto& record = service_.record;
        const bool logs = service_.traffic_log.format != TrafficLogFormat::off;
        if (service_.mode == Mode::exec && service_.io == ProcessIo::socket)
            for (const auto& [option, used] : {std::pair("traffic-log", logs), std::pair("record", has("record"))})
                if (used)
                    refuse(option, "cannot work together with " + say("io", "socket") +
                                       ": no byte passes through us; remove it, or use " + say("io", "stdio"));
        if (logs && settings_.log_level > LogLevel::info)
            refuse("traffic-log", "shows nothing where only warnings and errors are logged; add " +
                                      settings_.say("log-level", "info") + " or remove this");
        if (has("traffic-log-limit") && !logs)
            refuse("traffic-log-limit", "needs " + say("traffic-log", "text") + " or " + say("traffic-log", "hex") +
                                            "; add that or remove this");
        if (!has("record")) {
            for (const auto option : {"record-limit", "record-total"})
                if (has(option))
                    refuse(option, "needs " + say("record", "DIR") + "; add that or remove this");
            return;
        }
        if (const auto usable = check_writable_directory(record.directory); !usable)
            refuse("record", usable.error());
        if (record.total != 0 && has("record-limit") && record.limit > record.total)
            refuse("record-limit",
                   "is more than all recordings may take up together; lower it or raise " + say("record-total"));
    }

    void check_access()
    {
        const bool has_rules = has("allow") || has("deny") || has("access-file");
        const auto any_rule = say("allow") + ", " + say("deny") + " or " + say("access-file");
        for (const auto option : {"time-zone", "denied"})
            if (has(option) && !has_rules)
                refuse(option, "needs rules; add " + any_rule + ", or remove this");
        if (!service_.access_file.empty())
            if (const auto rules = load_access(service_.access_file); !rules)
                refuse("access-file", rules.error());
        if (service_.max_connections != 0 && service_.max_per_source > service_.max_connections)
            refuse("max-per-source", "is more than " +
                                         say(service_.mode == Mode::relay ? "max-total" : "max-connections") + ", " +
                                         std::to_string(service_.max_connections) + "; lower it or raise that");
        const bool has_instances = service_.mode == Mode::exec || service_.mode == Mode::docker;
        const bool asks = service_.mode == Mode::relay || has_tokens(service_.auth) || has("accept-proxy");
        if (has("source-prefix") && service_.auth != Auth::source && service_.max_per_source == 0 && !asks)
            refuse("source-prefix", !has_instances ? "needs " + say("max-per-source") + "; add that or remove this"
                                                   : "needs " + say("auth", "source") + " or " + say("max-per-source") +
                                                         "; add one of them or remove this");
        if (has("auth-timeout") && !asks)
            refuse("auth-timeout", !has_instances
                                       ? "needs " + say("accept-proxy") + "; add that or remove this"
                                       : "needs " + say("auth", "token") + ", " + say("auth", "prompt") + " or " +
                                             say("accept-proxy") + "; add one of them or remove this");
    }

    void check_forward()
    {
        const auto& upstreams = service_.upstream.upstreams;
        if (has("to") && has("to-file"))
            refuse("to-file", "and " + say("to") + " are two lists; remove one of them");
        else if (!service_.upstreams_file.empty()) {
            if (const auto list = load_upstreams(settings_, service_.upstreams_file); !list)
                refuse("to-file", list.error());
        } else if (upstreams.empty())
            refuse("to", "has nowhere to pass connections on to; add " + say("to", "host:port"));
        if (!service_.command.empty() || has("command"))
            refuse("command", "is not run: forward passes connections on to servers that run already; remove it");
        if (has("max-instances"))
            refuse("max-instances", "is for instances, and forward has none; remove it");
        for (std::size_t i = 0; i < upstreams.size(); ++i)
            for (std::size_t j = 0; j < i; ++j)
                if (upstreams[i].text() == upstreams[j].text())
                    refuse("to", upstreams[i].text() + " is there twice; give it a weight instead, as in " +
                                     upstreams[i].text() + "=2");
        check_upstreams();
    }

    void check_relay()
    {
        const auto& relay = service_.relay;
        if (has("auth-file") && has("auth-string"))
            refuse("auth-file", "and " + say("auth-string") + " are two of one kind; remove one of them");
        else if (!has("auth-file") && !has("auth-string"))
            refuse("auth-file", "has no authentication string; add " + say("auth-file", "FILE") + " or " +
                                    say("auth-string", "TEXT") + " (the original's is hi)");
        else if (!relay.auth_file.empty())
            if (const auto text = load_authentication(relay); !text)
                refuse("auth-file", text.error());
        if (!service_.command.empty() || has("command"))
            refuse("command", "is not run: the relay joins its clients with each other; remove it");
        if (has("max-instances"))
            refuse("max-instances",
                   "is for instances; the relay has channels: use " + say("max-pairs") + " and " + say("max-total"));
        if (has("max-connections") && relay.channels.max_members == 1)
            refuse("max-connections", "has nobody to talk to in a channel of 1; write 2 or more, or 0 for no limit");
        const auto needs = [&](std::string_view option, std::string_view other, std::string_view value, bool given) {
            if (has(option) && !given)
                refuse(option, "needs " + say(other, value) + "; add that or remove this");
        };
        needs("slow-timeout", "slow", "disconnect", relay.channels.slow == SlowMember::disconnect);
        needs("slow-queue", "slow", "queue", relay.channels.slow == SlowMember::queue);
        needs("alone-limit", "alone", "hold", relay.channels.alone == SentAlone::hold);
        needs("half-close-timeout", "half-close", "stay", relay.channels.end == MemberEnd::stay);
        if (has("alone-limit") && relay.channels.alone_limit == 0)
            refuse("alone-limit", "of 0 holds nothing; raise it or use " + say("alone", "discard"));
    }

    void check_upstreams()
    {
        const auto& upstream = service_.upstream;
        const bool checks = upstream.check.interval > upstream.check.interval.zero();
        if (!checks)
            for (const auto option : {"check-timeout", "check-send", "check-expect", "check-fall", "check-rise"})
                if (has(option))
                    refuse(option, "needs " + say("check-interval", "5s") + "; add that or remove this");
        if (upstream.max_per_upstream == 0)
            for (const auto option : {"queue-size", "queue-timeout"})
                if (has(option))
                    refuse(option, "needs " + say("max-per-upstream") + "; add that or remove this");
        const bool never_rests = upstream.max_fails == 0 || upstream.fail_timeout == upstream.fail_timeout.zero();
        if (service_.when_down == WhenDown::close_listener && !checks && never_rests)
            refuse("when-down", "close-listener cannot work: without " + say("check-interval") + ", " +
                                    say("max-fails") + " and " + say("fail-timeout") +
                                    " no server is ever down; add one of them or remove this");
    }

    void check_tunnel()
    {
        const auto& tunnel = service_.tunnel;
        if (!service_.command.empty() || has("command"))
            refuse("command", "is not run: a tunnel reaches servers that run already; remove it");
        if (has("total-buffer") && tunnel.link.total_buffer < tunnel.link.session_buffer)
            refuse("total-buffer", "is less than " + say("session-buffer") + "; raise it or lower that");
        if (service_.mode == Mode::tunnel_agent) {
            if (!tunnel.peer && !has("proxy"))
                refuse("proxy", "has no server to connect to; add " + say("proxy", "host:8443"));
            return;
        }
        check_traffic();
        check_access();
        check_tunnel_files();
        if (tunnel.any_user && has("db"))
            refuse("any-user", "lets in whom " + say("db") + " does not know; remove one of them");
        if (!tunnel.database.empty())
            if (const auto users = UserDatabase::open(tunnel.database); !users)
                refuse("db", users.error());
        if (has("verbose") && has("log-level"))
            refuse("verbose", "and " + say("log-level") + " say the same; remove one of them");
    }

    void check_tunnel_files()
    {
        const auto& tunnel = service_.tunnel;
        if (!tunnel.routing_file.empty())
            if (const auto routes = load_routing(tunnel.routing_file); !routes)
                refuse("routing", routes.error());
        if (tunnel.routes.empty() && !has("route") && !has("routing"))
            refuse("routing",
                   "has no route; add " + say("routing", "FILE") + " or " + say("route", "0.0.0.0:8080 10.0.0.1:80"));
        TunnelConfig config;
        if (!tunnel.config_file.empty()) {
            auto read = load_tunnel_config(tunnel.config_file);
            if (!read)
                return refuse("config", read.error());
            config = std::move(*read);
        }
        if (tunnel.agents.empty() && config.agents.empty() && !has("agents"))
            refuse("agents", "no agent may connect; add " + say("agents", "ADDRESS") +
                                 ", or proxy_client_whitelist in " + say("config", "FILE"));
        if (config.users.empty() && !has("db") && !tunnel.any_user)
            refuse("db", "no user may connect; add " + say("db", "FILE") + ", controller_user in " +
                             say("config", "FILE") + ", or " + say("any-user"));
    }

    void check_clients()
    {
        if (has_tokens(service_.auth)) {
            if (service_.tokens.empty() && !has("tokens"))
                refuse("auth", "needs a list of accepted tokens; add " + say("tokens", "FILE"));
            else if (!service_.tokens.empty())
                if (const auto tokens = load_tokens(service_.tokens, service_.auth); !tokens)
                    refuse("tokens", tokens.error());
        } else {
            for (const auto option : {"tokens", "on-removed"})
                if (has(option))
                    refuse(option, "needs " + say("auth", "token") + " or " + say("auth", "prompt") +
                                       "; add one of them or remove this");
        }
        for (const auto& [option, auth, name] :
             {std::tuple("reset-id", Auth::token, "token"), std::tuple("prompt", Auth::prompt, "prompt")})
            if (service_.auth != auth && has(option))
                refuse(option, "needs " + say("auth", name) + "; add that or remove this");
        if (service_.auth == Auth::open && has("max-per-owner") && service_.pool.max_per_owner != 0)
            refuse("max-per-owner", "needs clients that can be told apart; add " + say("auth", "source") + ", " +
                                        say("auth", "prompt") + " or " + say("auth", "token") + ", or remove this");
    }

    void check_instances()
    {
        const auto& pool = service_.pool;
        if (pool.when_full != WhenFull::queue)
            for (const auto option : {"queue-size", "queue-timeout"})
                if (has(option))
                    refuse(option, "needs " + say("when-full", "queue") + "; add that or remove this");
        if (service_.ports) {
            const auto count = service_.ports->size();
            if (has("max-instances") && pool.max_instances > count)
                refuse("max-instances", "is more than the " + std::to_string(count) + " ports of " + say("ports") +
                                            "; lower it, leave it out, or add ports");
            if (pool.warm > count)
                refuse("warm", "is more than the " + std::to_string(count) + " ports of " + say("ports") +
                                   "; lower it or add ports");
        }
        const auto fits = [&](const auto& range) { return !range || pool.warm <= range->size(); };
        if (fits(service_.ports) && fits(service_.users) && pool.max_instances != 0 && pool.warm > pool.max_instances)
            refuse("warm", "is more than " + say("max-instances") + ", " + std::to_string(pool.max_instances) +
                               "; lower it or raise that");
        if (settings_.max_instances != 0 && pool.warm > settings_.max_instances)
            refuse("warm", "is more than the daemon's max-instances; lower it or raise that");
        if (pool.warm > 0 && has("client-env") && service_.client_env)
            refuse("client-env", "cannot be on together with " + say("warm") +
                                     ": a warm instance starts before it has a client; remove one of them");
        if (service_.single_use()) {
            const auto other = service_.mode == Mode::exec ? say("io", "port") : say("port", "N");
            if (has("linger") && pool.linger > pool.linger.zero())
                refuse("linger", "cannot work: here an instance serves one connection and goes with it; remove it or "
                                 "use " +
                                     other);
            if (has("max-sessions") && pool.max_sessions_per_instance > 1)
                refuse("max-sessions",
                       "cannot work: here an instance serves one connection; remove it or use " + other);
        }
    }

    void check_process()
    {
        const auto io = service_.io;
        const bool uses_port = std::any_of(service_.command.begin(), service_.command.end(), [](const auto& argument) {
            return argument.find("{port}") != std::string::npos;
        });
        if (io != ProcessIo::port) {
            if (service_.ports)
                refuse("ports", "needs " + say("io", "port") + "; add that or remove this");
            if (uses_port)
                refuse("command", "{port} needs " + say("io", "port") + "; add that or remove {port}");
        }
        if (service_.pty != TerminalMode::none && io != ProcessIo::stdio)
            refuse("pty", "needs " + say("io", "stdio") + "; use that or remove this");
        if (io == ProcessIo::port && has("stderr") && service_.stderr_to == StderrTo::client)
            refuse("stderr", "client cannot work together with " + say("io", "port") +
                                 ", where the connection is the process's own; use log or null");
        if (io == ProcessIo::socket) {
            if (service_.pool.warm > 0)
                refuse("warm", "cannot work together with " + say("io", "socket") +
                                   ": the process starts with the client's socket; use " + say("io", "stdio"));
            const std::pair<const char*, std::chrono::steady_clock::duration> limits[] = {
                {"idle", service_.pool.idle},
                {"session-idle", service_.session_idle},
                {"half-close-timeout", service_.half_close_timeout},
            };
            for (const auto& [option, limit] : limits)
                if (has(option) && limit > limit.zero())
                    refuse(option, "cannot work together with " + say("io", "socket") +
                                       ": no byte passes through us; remove it, or use " + say("io", "stdio"));
        }
    }

    void check_process_limits()
    {
        for (const auto option : {"limit-tmp", "limit-log"})
            if (has(option))
                refuse(option, std::string("cannot be enforced for a process; remove it or use ") +
                                   (settings_.file.empty() ? "instancerd docker" : "\"mode\": \"docker\""));
        if (rlimit ours{};
            ::getrlimit(RLIMIT_CORE, &ours) == 0 && ::geteuid() != 0 && service_.limits.core > ours.rlim_max)
            refuse("limit-core", "is more than the daemon's own limit, " + std::to_string(ours.rlim_max) +
                                     "; lower it, or raise that (ulimit -Hc, LimitCORE= of a unit)");
        const bool is_root = ::geteuid() == 0;
        uid_t runs_as = ::geteuid();
        check_users();
        if (!service_.user.empty()) {
            const auto user = find_user(service_.user);
            if (!user)
                refuse("user", user.error());
            else if (!is_root && (user->uid != ::geteuid() || user->gid != ::getegid()))
                refuse("user",
                       "only root can start processes as somebody else; start instancerd as root or remove this");
            if (user)
                runs_as = user->uid;
        }
        if (has("limit-pids") && service_.limits.pids != 0 && runs_as == 0 && !service_.users &&
            !can_limit_groups(GroupLimit::pids))
            refuse("limit-pids", "does not bind root; add " + say("user", "NAME") + ", or use docker mode");
    }

    void check_users()
    {
        const auto& users = service_.users;
        if (!users)
            return;
        if (::geteuid() != 0)
            refuse("user", "only root can start processes as somebody else; start instancerd as root or remove this");
        if (const auto name = known_user(users->first(), users->last()); !name.empty())
            refuse("user", "holds the user " + name +
                               ", whose files instances would own; write a range that nobody "
                               "has, as in 70000-70063");
        if (has("max-instances") && service_.pool.max_instances > users->size())
            refuse("max-instances", "is more than the " + std::to_string(users->size()) + " users of " + say("user") +
                                        "; lower it or widen that");
        if (service_.pool.warm > users->size())
            refuse("warm", "is more than the " + std::to_string(users->size()) + " users of " + say("user") +
                               "; lower it or widen that");
    }

    void check_process_files()
    {
        if (!service_.reads("command") || !service_.reads("env"))
            return;
        if (service_.command.empty() || service_.command.front().empty()) {
            refuse("command", settings_.file.empty()
                                  ? "there is no command to run; put it last, after --, as in: -- /bin/cat"
                                  : "has no command to run; add \"command\": [\"PROGRAM\", \"ARGUMENT\", ...]");
            return;
        }
        // What holds a placeholder is known only when an instance starts.
        const auto is_fixed = [](const std::string& text) { return text.find("{dir}") == std::string::npos; };
        ProcessOptions process;
        process.command = {settings_.program(service_)};
        process.working_directory = settings_.resolve(".");
        process.env = service_.env;
        if (const auto found = find_program(process); !found)
            refuse("command", found.error().text());
        const auto& directory = service_.working_directory;
        if (!directory.empty() && is_fixed(directory) && !is_directory(directory))
            refuse("workdir", "there is no directory " + directory + "; create it or correct the path");
        if (const auto script = script_of(settings_, service_); !script.empty() && is_missing(script))
            refuse("command",
                   "there is no script " + script + " for " + service_.command.front() + " to run; correct the path");
        if (service_.dir_template.empty())
            return;
        if (!is_directory(service_.dir_template))
            refuse("dir-template",
                   "there is no directory " + service_.dir_template + "; create it or correct the path");
        if (!directory.empty() && is_fixed(directory) &&
            std::all_of(service_.command.begin(), service_.command.end(), is_fixed) &&
            std::all_of(service_.env.begin(), service_.env.end(),
                        [&](const auto& entry) { return is_fixed(entry.second); }))
            refuse("dir-template", "is never used; write {dir} in the command or as " + say("workdir", "{dir}"));
    }

    void check_container()
    {
        const auto& docker = service_.docker;
        const bool stdio = docker.io == DockerIo::stdio;
        if (!docker.engine.starts_with("unix:///"))
            refuse("engine", "is by DOCKER_HOST " + in_quotes(docker.engine) +
                                 ", which is no engine on this host; add " +
                                 say("engine", "unix:///var/run/docker.sock"));
        if (docker.image.empty() && !has("image"))
            refuse("image", "has no image to run; add " + say("image", "NAME"));
        if (stdio && has("port"))
            refuse("port", "cannot work together with " + say("stdio") + "; remove one of them");
        const bool pty = service_.pty != TerminalMode::none;
        if (!stdio && pty)
            refuse("pty", "needs " + say("stdio") + "; add that or remove this");
        if (service_.pty == TerminalMode::raw)
            refuse("pty", "raw works only with exec: a container's terminal is the engine's; write " + say("pty"));
        if (stdio && pty && service_.stderr_to != StderrTo::client)
            refuse("stderr", "cannot work together with " + say("pty") +
                                 ": a container's terminal is its standard error as well; remove one of them");
        if (!stdio && !pty && service_.stderr_to != StderrTo::log)
            refuse("stderr", "needs " + say("stdio") +
                                 ": with a port the program's output is no part of the "
                                 "connection; add that or remove this");
        for (const auto& mount : docker.mounts) {
            std::error_code error;
            if (!std::filesystem::exists(mount.source, error))
                refuse("mount", "there is no " + mount.source + "; create it or correct the path");
            else if (instancer::detail::contains_path(mount.source,
                                                      docker.engine.substr(std::string_view("unix://").size())) ||
                     instancer::detail::contains_path(mount.source, "/var/run/docker.sock"))
                refuse("mount", mount.source + " would give containers the Docker engine, and with it the host; mount "
                                               "something smaller");
        }
        for (const auto& tmpfs : docker.tmpfs)
            if (std::filesystem::path(tmpfs.target + "/").lexically_normal() == "/tmp/")
                refuse("tmpfs", "/tmp is one already; set its size by " + say("limit-tmp", "64m"));
    }

    void check_environment()
    {
        for (const auto& [name, value] : service_.env) {
            if (name.substr(0, 10) == "INSTANCER_")
                refuse("env", name + " is a name of ours; choose one that does not begin with INSTANCER_");
            if (name == "PORT" && service_.mode == Mode::exec && service_.io == ProcessIo::port)
                refuse("env", "PORT is set for each instance already, because of " + say("io", "port") + "; remove it");
        }
    }

    const Settings& settings_;
    const ServiceSettings& service_;
    Problems& problems_;
};

/// Checks that the instances of `service` do not get the ports on which `other` listens.
void check_ports(const ServiceSettings& service, const ServiceSettings& other, Problems& problems)
{
    if (!service.ports)
        return;
    for (const auto& [option, address] : listeners_of(other))
        if (address.kind() == Address::Kind::tcp && address.port() >= service.ports->first() &&
            address.port() <= service.ports->last())
            problems.emplace_back(place_of(service, "ports"),
                                  text_of(*service.ports) + " holds " + std::to_string(address.port()) + ", on which " +
                                      (&service == &other ? "the service itself" : "service " + other.name) +
                                      " listens; choose another range");
}

/// Users of a range are an instance's own: no other service may start anything as one of them.
void check_neighbours_users(const ServiceSettings& service, const ServiceSettings& other, Problems& problems)
{
    const auto& users = service.users;
    if (!users || other.mode != Mode::exec)
        return;
    const auto single = other.users || other.user.empty() ? Parsed<User>(wrong("")) : find_user(other.user);
    const auto first = other.users ? other.users->first() : single ? single->uid : 0;
    const auto last = other.users ? other.users->last() : first;
    if (first != 0 && users->first() <= last && first <= users->last())
        problems.emplace_back(place_of(service, "user"),
                              "some of these users are those of service " + other.name + "; choose separate ranges");
}

/// Checks what a service shares with those before it, and its own addresses with each other.
void check_neighbours(const Settings& settings, std::size_t index, Problems& problems)
{
    const auto& service = settings.services[index];
    for (std::size_t other_index = 0; other_index <= index; ++other_index) {
        const auto& other = settings.services[other_index];
        const bool same = other_index == index;
        const auto whose = same ? "the same service" : "service " + other.name;
        const auto ours = listeners_of(service), theirs = listeners_of(other);
        for (std::size_t i = 0; i < ours.size(); ++i) {
            const auto& [option, address] = ours[i];
            const auto end = theirs.begin() + static_cast<std::ptrdiff_t>(same ? i : theirs.size());
            const auto taken = std::find_if(theirs.begin(), end, [&mine = address](const auto& listener) {
                return listener.second.collides(mine);
            });
            if (taken == end)
                continue;
            const auto by = taken->first == "listen" ? "" : " (" + settings.say(taken->first) + ")";
            problems.emplace_back(place_of(service, option),
                                  address.text() + " is taken by " + taken->second.text() + " of " + whose + by +
                                      "; choose another" + (service.has(option) ? "" : " by " + settings.say(option)));
        }
        check_ports(service, other, problems);
        if (!same) {
            check_ports(other, service, problems);
            check_neighbours_users(service, other, problems);
            if (!other.users || !service.users)
                check_neighbours_users(other, service, problems);
        }
        if (!same && service.ports && other.ports && service.ports->first() <= other.ports->last() &&
            other.ports->first() <= service.ports->last())
            problems.emplace_back(place_of(service, "ports"), text_of(*service.ports) + " overlaps " +
                                                                  text_of(*other.ports) + " of " + whose +
                                                                  "; choose separate ranges");
    }
}

}  // namespace

Problems validate(const Settings& settings)
{
    Problems problems;
    for (std::size_t i = 0; i < settings.services.size(); ++i) {
        Checker(settings, settings.services[i], problems).check();
        check_neighbours(settings, i, problems);
    }
    if (!settings.init.empty() && (is_directory(settings.init) || ::access(settings.init.c_str(), X_OK) != 0))
        problems.emplace_back(place_of(settings, "init"),
                              settings.init + ": " +
                                  (is_directory(settings.init) ? "is a directory" : std::strerror(errno)) +
                                  "; correct the path, or leave it out");
    return problems;
}

std::vector<std::string> warnings_of(const Settings& settings, const ServiceSettings& service)
{
    std::vector<std::string> warnings;
    if (service.mode == Mode::exec && service.user.empty() && !service.users && ::geteuid() == 0)
        warnings.push_back("its programs run as root, who may do anything here; add " + settings.say("user", "nobody") +
                           ", or " + settings.say("user", "root") + " if that is meant");
    if (service.mode == Mode::exec && (service.users || !service.user.empty()) && ::geteuid() == 0 &&
        settings.init_program().empty())
        warnings.push_back(
            "there is no instancer-init beside instancerd, so that instances can make starts of the same "
            "user fail; install it, or name it by " +
            settings.say("init", "PATH"));
    if (!service.relay.auth_string.empty())
        warnings.push_back("every user of this machine can see an authentication string that is given so; better have "
                           "it read from a file by auth-file");
    for (const auto* file : {&service.tokens, &service.relay.auth_file})
        if (!file->empty() && is_readable_by_all(*file))
            warnings.push_back("every user of this machine can read " + *file + "; chmod o-r it");
    if (!service.env.empty() && !settings.file.empty() && is_readable_by_all(settings.file))
        warnings.push_back("every user of this machine can read " + settings.file + ", and in it the values of " +
                           names_of(service.env) + "; chmod o-r it if one of them is a secret");
    if (has_tokens(service.auth))
        if (auto remark = remark_on_tokens(service.tokens, service.auth); !remark.empty())
            warnings.push_back(std::move(remark));
    return warnings;
}

std::vector<std::string> unbound_limits_of(const Settings&, const ServiceSettings& service)
{
    if (service.mode != Mode::exec)
        return {};
    ProcessOptions options;
    options.limit_memory = service.limits.memory;
    options.limit_pids = service.limits.pids;
    options.limit_cpus = service.limits.cpus;
    options.users = service.users;
    return instancer::detail::unbound_limits(options, &can_limit_groups);
}

}  // namespace instancer::daemon
