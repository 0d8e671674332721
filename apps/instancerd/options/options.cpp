// SPDX-License-Identifier: MIT
#include "options/options.hpp"

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <optional>

#include "files/upstreams.hpp"
#include "modes/tunnel/tunnel_settings.hpp"

namespace instancer::daemon {

namespace {

constexpr std::uint64_t many = 1'000'000'000;

/// Stores a parsed value, or passes on what is wrong with it.
template <class Field, class T>
Parsed<void> set(Field& field, const Parsed<T>& value)
{
    if (!value)
        return wrong(value.error());
    field = static_cast<Field>(*value);
    return {};
}

template <class Field>
Parsed<void> set_count(Field& field, const std::string& text, std::uint64_t least = 0, std::uint64_t most = many)
{
    return set(field, parse_count(text, least, most));
}

template <class Field>
Parsed<void> set_choice(Field& field, const std::string& text,
                        std::initializer_list<std::pair<std::string_view, Field>> choices)
{
    std::vector<std::string_view> names;
    std::string list;
    for (const auto& [name, value] : choices) {
        if (name == text) {
            field = value;
            return {};
        }
        names.push_back(name);
        list += (list.empty() ? "" : ", ") + std::string(name);
    }
    return wrong("'" + text + "' is none of " + list + suggestion(text, names));
}

Parsed<void> set_flag(bool& field, const std::string& text)
{
    field = text == "true";
    return {};
}

/// `true` is a terminal as programs expect it.
Parsed<void> set_terminal(TerminalMode& field, const std::string& text)
{
    static constexpr std::pair<std::string_view, TerminalMode> modes[] = {{"true", TerminalMode::cooked},
                                                                          {"false", TerminalMode::none},
                                                                          {"echo", TerminalMode::echo},
                                                                          {"raw", TerminalMode::raw}};
    for (const auto& [name, mode] : modes)
        if (name == text) {
            field = mode;
            return {};
        }
    return wrong("'" + text + "' is no kind of terminal; write echo, raw, or nothing");
}

Parsed<void> set_path(Target to, std::string& field, const std::string& text)
{
    if (text.empty())
        return wrong("names no path");
    field = to.settings.resolve(text);
    return {};
}

Parsed<void> set_text(std::string& field, const std::string& text)
{
    if (text.empty())
        return wrong("is empty; leave it out instead");
    field = text;
    return {};
}

/// An address that means the same in every directory.
Parsed<Address> parse_local_address(Target to, const std::string& text)
{
    auto address = parse_address(text);
    return address ? to.settings.resolve(*address) : std::move(address);
}

Parsed<void> add_listen(Target to, const std::string& text)
{
    const auto addresses = parse_addresses(text);
    if (!addresses)
        return wrong(addresses.error());
    for (const auto& address : *addresses)
        to.service->listen.push_back(to.settings.resolve(address));
    return {};
}

Parsed<void> set_reset_id(Target to, const std::string& text)
{
    const auto bytes = parse_hex(text, 4);
    if (!bytes)
        return wrong(bytes.error());
    to.service->reset_id = {static_cast<std::uint8_t>((*bytes)[0]), static_cast<std::uint8_t>((*bytes)[1])};
    return {};
}

Parsed<void> add_env(Target to, const std::string& text)
{
    auto assignment = parse_assignment(text);
    if (!assignment)
        return wrong(assignment.error());
    auto& env = to.service->env;
    if (std::any_of(env.begin(), env.end(), [&](const auto& e) { return e.first == assignment->first; }))
        return wrong(assignment->first + " is set twice; keep one of them");
    env.push_back(std::move(*assignment));
    return {};
}

Parsed<void> add_mount(Target to, const std::string& text)
{
    const auto colon = text.find(':');
    if (colon == 0 || colon == text.npos || colon + 1 == text.size())
        return wrong("'" + text + "' is no mount; write SOURCE:TARGET, as in ./data:/data");
    const auto target = text.substr(colon + 1);
    if (target.front() != '/' || target.find(':') != target.npos)
        return wrong("'" + target +
                     "' is no absolute path inside the container; write SOURCE:/TARGET (mounts are "
                     "read-only always)");
    to.service->docker.mounts.emplace_back(to.settings.resolve(text.substr(0, colon)), target);
    return {};
}

Parsed<void> add_tmpfs(Target to, const std::string& text)
{
    const auto colon = text.find(':');
    if (text.empty() || text.front() != '/' || colon == text.npos)
        return wrong("'" + text + "' is no tmpfs; write PATH:SIZE, as in /run:8m");
    const auto size = parse_size(std::string_view(text).substr(colon + 1));
    if (!size)
        return wrong(size.error());
    if (*size == 0)
        return wrong("a tmpfs of size 0 holds nothing; write a size, as in /run:8m");
    to.service->docker.tmpfs.emplace_back(text.substr(0, colon), *size);
    return {};
}

Parsed<void> set_user(Target to, const std::string& text)
{
    auto& service = *to.service;
    if (!is_user_range(text))
        return set_text(service.user, text);
    if (service.mode == Mode::docker)
        return wrong("'" + text + "' is a range of users, which is for exec; write one user, as in 65534");
    const auto users = parse_users(text);
    if (!users)
        return wrong(users.error());
    service.users = *users;
    return {};
}

/// `ADDR[=WEIGHT],...`
Parsed<void> add_upstreams(Target to, const std::string& text)
{
    for (const auto& part : split(text, ',')) {
        auto upstream = parse_upstream(to.settings, part);
        if (!upstream)
            return wrong(upstream.error());
        to.service->upstream.upstreams.push_back(std::move(*upstream));
    }
    return {};
}

/// A duration that cannot be 0.
Parsed<void> set_limit(std::chrono::milliseconds& field, const std::string& text, const std::string& example)
{
    if (const auto done = set(field, parse_duration(text)); !done)
        return done;
    return field > field.zero() ? Parsed<void>() : wrong("must be longer than 0; write " + example);
}

template <bool allow>
Parsed<void> add_rule(Target to, const std::string& text)
{
    auto rule = parse_rule(allow, text);
    if (!rule)
        return wrong(rule.error());
    to.service->access.push_back(std::move(*rule));
    return {};
}

Parsed<void> add_proxy(Target to, const std::string& text)
{
    const auto network = parse_network(text);
    if (!network)
        return wrong(network.error());
    to.service->accept_proxy.push_back(*network);
    return {};
}

/// `-p`: where a tunnel's server listens for agents, or where an agent's server is.
Parsed<void> set_tunnel_peer(Target to, const std::string& text)
{
    auto address = parse_address(text);
    if (!address)
        return wrong(address.error());
    const bool is_agent = to.service->mode == Mode::tunnel_agent;
    if (is_agent && (address->kind() != Address::Kind::tcp || address->name().empty() || address->port() == 0))
        return wrong("'" + text + "' names no server; write host:port, with a port from 1 to 65535");
    if (address->kind() == Address::Kind::unix_socket)
        return wrong("'" + text + "' cannot be reached from elsewhere; write IP:PORT, as in 0.0.0.0:8443");
    to.service->tunnel.peer = *address;
    return {};
}

Parsed<void> set_tunnel_control(Target to, const std::string& text)
{
    if (text == "off") {
        to.service->tunnel.control.reset();
        return {};
    }
    const auto address = parse_local_address(to, text);
    if (!address)
        return wrong(address.error());
    to.service->tunnel.control = *address;
    return {};
}

/// What the command line of the original calls the log level.
Parsed<void> set_verbosity(Target to, const std::string& text)
{
    if (!to.settings.file.empty())
        return wrong("is for the command line; write \"log-level\" at the top level");
    const auto level = parse_verbosity(text);
    if (!level)
        return wrong(level.error());
    to.settings.log_level = level->level;
    return {};
}

Parsed<void> set_time_zone(Target to, const std::string& text)
{
    if (text.empty())
        return wrong("names no time zone; write one as in Europe/Berlin");
    if (const auto clock = find_clock(text); !clock)
        return wrong(clock.error());
    to.service->time_zone = text;
    return {};
}

constexpr std::string_view listening = "Listening", access = "Access", clients = "Clients", instances = "Instances",
                           times = "Times", program = "What runs", process = "Processes (exec)",
                           container = "Containers (docker)", upstream = "Upstreams (forward)",
                           channels = "Channels (relay)", tunnel = "Reverse tunnel (tunnel server, tunnel agent)",
                           traffic = "Traffic", limits = "Limits of one instance", whole = "The daemon";

using S = const std::string&;

// group, name, value, default, help, scope, shape, key in the configuration, what it does
// clang-format off
constexpr Option table[] = {
    {listening, "listen", "ADDR", "-",
     "where clients connect: host:port, [v6]:port, :port (every address, IPv4 and IPv6), :20000-20009 (each of these "
     "ports), unix:/path, unix:@name (an abstract socket, without permissions), fd:NAME (a socket that systemd passes)",
     Scope::listeners, Shape::list, {}, add_listen},
    {listening, "unix-mode", "OCTAL", "0666", "permissions of Unix sockets that are listened on",
     Scope::service, Shape::text, {},
     [](Target to, S text) -> Parsed<void> {
         if (text.size() != 4 || text.front() != '0' || text.find_first_not_of("01234567") != text.npos)
             return wrong("'" + text + "' are no permissions; write 0600 or 0666");
         to.service->unix_mode = static_cast<mode_t>(std::stoul(text, nullptr, 8));
         return {};
     }},
    {listening, "unix-owner", "NAME|UID", "the daemon's own", "user that the files of Unix sockets belong to",
     Scope::service, Shape::text, {}, [](Target to, S text) { return set_text(to.service->unix_owner, text); }},
    {listening, "unix-group", "NAME|GID", "the daemon's own", "group that the files of Unix sockets belong to",
     Scope::service, Shape::text, {}, [](Target to, S text) { return set_text(to.service->unix_group, text); }},

    {access, "allow", "RULE", "-",
     "who may connect, and when: [CIDR|ADDRESS|all] [DAYS] [HH:MM-HH:MM], as in 10.0.0.0/8, all sat,sun or "
     "2001:db8::/32 mon-fri 08:00-18:00. The rule for the smallest network decides; with any allow, nobody else may",
     Scope::service, Shape::list, {}, add_rule<true>},
    {access, "deny", "RULE", "-", "who may not connect, and when, written as for allow; wins over an allow for the same network",
     Scope::service, Shape::list, {}, add_rule<false>},
    {access, "access-file", "FILE", "-",
     "further access rules, one a line, each after the word allow or deny; # starts a comment; read again on SIGHUP",
     Scope::service, Shape::text, {}, [](Target to, S text) { return set_path(to, to.service->access_file, text); }},
    {access, "time-zone", "ZONE", "the system's", "whose clock the rules go by, as in Europe/Berlin",
     Scope::service, Shape::text, {}, set_time_zone},
    {access, "denied", "reset|hold|close", "reset",
     "what happens to who may not connect: a reset; silence until it leaves, for an hour at most and for 1000 clients "
     "at once; an end without a byte",
     Scope::service, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->when_denied, text,
                           {{"reset", WhenDenied::reset}, {"hold", WhenDenied::hold}, {"close", WhenDenied::close}});
     }},
    {access, "max-connections", "N", "0; relay: 2",
     "connections to the service at once; 0: no limit. Who is too many is reset. With relay: members of one channel, as "
     "the original calls it; who is too many is told so (all connections: max-total)",
     Scope::service, Shape::number, {},
     [](Target to, S text) {
         const bool relays = to.service->mode == Mode::relay;
         return set_count(relays ? to.service->relay.channels.max_members : to.service->max_connections, text);
     }},
    {access, "max-total", "N", "0", "connections to the relay at once; 0: no limit. Who is too many is reset",
     Scope::relay, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->max_connections, text); }},
    {access, "max-per-source", "N", "0",
     "connections from one address at once (IPv6: source-prefix), or of one user of a Unix socket; 0: no limit",
     Scope::service, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->max_per_source, text); }},
    {access, "max-unadmitted", "N", "a quarter of the descriptors that are free at the start",
     "connections to all services together of clients that have yet to say who they are, or are held (denied); 0: no "
     "limit. One more resets the oldest of the source (address, IPv6: source-prefix) that has most of them",
     Scope::daemon, Shape::number, {},
     [](Target to, S text) { return set_count(to.settings.max_unadmitted, text); }},
    {access, "accept-proxy", "CIDR|ADDRESS|all", "-",
     "proxies that must say first for whom they connect, by a PROXY header of version 1 or 2 (HAProxy's "
     "proxy-protocol.txt), of 4 KiB at most, within auth-timeout; that client is meant from then on",
     Scope::service, Shape::list, {}, add_proxy},

    {clients, "auth", "open|source|token|prompt", "open",
     "how clients are told apart: not at all, every connection gets a new instance; by source address (by user id on "
     "a Unix socket); by the 130-byte token greeting; by a token that they are asked to type, for nc and telnet",
     Scope::instances, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->auth, text,
                           {{"open", Auth::open},
                            {"source", Auth::source},
                            {"token", Auth::token},
                            {"prompt", Auth::prompt}});
     }},
    {clients, "source-prefix", "BITS", "64", "IPv6 clients that share so many leading bits count as one",
     Scope::service, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->source_prefix, text, 1, 128); }},
    {clients, "tokens", "FILE", "-",
     "accepted tokens, one a line: 128 characters, or hex: and 256 digits; with prompt whatever is typed, 256 "
     "characters at most; # starts a comment; read again on SIGHUP",
     Scope::instances, Shape::text, {}, [](Target to, S text) { return set_path(to, to.service->tokens, text); }},
    {clients, "on-removed", "keep|end", "keep",
     "what becomes of sessions and instances whose token is no longer in the file when it is read again: they go on, or "
     "end",
     Scope::instances, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->on_removed, text, {{"keep", OnRemoved::keep}, {"end", OnRemoved::end}});
     }},
    {clients, "prompt", "TEXT", "'token: '", "what a client is asked with, with auth prompt",
     Scope::instances, Shape::text, {}, [](Target to, S text) { return set_text(to.service->prompt, text); }},
    {clients, "reset-id", "HEX", "0000", "the identifier that asks for all instances of the token to go first",
     Scope::instances, Shape::text, {}, set_reset_id},
    {clients, "auth-timeout", "DURATION", "10s; prompt: 1m; relay: 5s",
     "how long a client may take to say who it is, and with relay which channel it wants",
     Scope::service, Shape::duration, {},
     [](Target to, S text) { return set(to.service->auth_timeout, parse_duration(text)); }},

    {instances, "max-instances", "N", "64",
     "instances at once; 0: no limit. At the top level of a configuration: of all services together, default 0",
     Scope::both, Shape::number, {},
     [](Target to, S text) {
         return set_count(to.service ? to.service->pool.max_instances : to.settings.max_instances, text);
     }},
    {instances, "max-per-owner", "N", "4 (with open: no limit)",
     "instances of one token or source address; 0: no limit",
     Scope::instances, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->pool.max_per_owner, text); }},
    {instances, "max-sessions", "N", "0; tunnel's agent: 1000",
     "connections to one instance at once; 0: no limit. With a tunnel's agent: sessions at once; it refuses the server "
     "further ones",
     Scope::holders, Shape::number, {},
     [](Target to, S text) {
         const bool is_agent = to.service->mode == Mode::tunnel_agent;
         return set_count(is_agent ? to.service->tunnel.link.max_sessions : to.service->pool.max_sessions_per_instance,
                          text);
     }},
    {instances, "max-starting", "N", "twice the cores", "instances that start at once; 0: no limit",
     Scope::instances, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->pool.max_starting, text); }},
    {instances, "when-full", "refuse|queue|cull-oldest|cull-idle", "refuse",
     "what a client meets when a maximum is reached and every instance is in use: it is refused, waits in a fair "
     "queue, or takes the place of the instance that is oldest or idle for longest. An instance without clients makes "
     "room first, the longest unused one",
     Scope::instances, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->pool.when_full, text,
                           {{"refuse", WhenFull::refuse},
                            {"queue", WhenFull::queue},
                            {"cull-oldest", WhenFull::cull_oldest},
                            {"cull-idle", WhenFull::cull_idle}});
     }},
    {instances, "queue-size", "N", "128", "clients that may wait; with forward for an upstream, and 0: none",
     Scope::queued, Shape::number, {},
     [](Target to, S text) {
         if (to.service->mode == Mode::forward)
             return set_count(to.service->upstream.queue_size, text);
         return set_count(to.service->pool.queue_size, text, 1);
     }},
    {instances, "queue-timeout", "DURATION", "30s", "how long a client waits",
     Scope::queued, Shape::duration, {},
     [](Target to, S text) {
         if (to.service->mode == Mode::forward)
             return set(to.service->upstream.queue_timeout, parse_duration(text));
         return set(to.service->pool.queue_timeout, parse_duration(text));
     }},
    {instances, "warm", "N", "0", "started instances kept ready for the next clients",
     Scope::instances, Shape::number, {}, [](Target to, S text) { return set_count(to.service->pool.warm, text); }},

    {times, "ttl", "DURATION", "0", "an instance ends when it has been in use for so long",
     Scope::instances, Shape::duration, {},
     [](Target to, S text) { return set(to.service->pool.ttl, parse_duration(text)); }},
    {times, "idle", "DURATION", "10m", "an instance ends when no byte has passed for so long",
     Scope::instances, Shape::duration, {},
     [](Target to, S text) { return set(to.service->pool.idle, parse_duration(text)); }},
    {times, "linger", "DURATION", "0 with open, else 5m",
     "how long an instance waits for its owner to come back after the last connection ended; here 0 means not at all",
     Scope::instances, Shape::duration, {},
     [](Target to, S text) { return set(to.service->pool.linger, parse_duration(text)); }},
    {times, "session-idle", "DURATION", "0", "a connection ends when no byte has passed for so long",
     Scope::service, Shape::duration, {},
     [](Target to, S text) { return set(to.service->session_idle, parse_duration(text)); }},
    {times, "half-close-timeout", "DURATION", "0",
     "a connection ends so long after one direction has ended, if the other one has not",
     Scope::service, Shape::duration, {},
     [](Target to, S text) { return set(to.service->half_close_timeout, parse_duration(text)); }},
    {times, "session-timeout", "DURATION", "0", "a connection ends when it has lasted for so long",
     Scope::service, Shape::duration, {},
     [](Target to, S text) { return set(to.service->session_timeout, parse_duration(text)); }},
    {times, "start-timeout", "DURATION", "30s", "how long an instance may take until it accepts connections",
     Scope::instances, Shape::duration, {},
     [](Target to, S text) { return set(to.service->pool.start_timeout, parse_duration(text)); }},
    {times, "stop-grace", "DURATION", "2s",
     "time between TERM and KILL. With stdio also the time until TERM for a program whose client is gone and which has "
     "closed its output",
     Scope::instances, Shape::duration, {},
     [](Target to, S text) -> Parsed<void> {
         const auto grace = parse_duration(text);
         if (grace && *grace > std::chrono::minutes(10))
             return wrong("'" + text + "' is longer than 10m; an instance that does not stop must be killed some time");
         return set(to.service->stop_grace, grace);
     }},
    {times, "drain-timeout", "DURATION", "30s",
     "how long sessions may go on after SIGTERM. In a configuration at the top level, or in a service of its own",
     Scope::anywhere, Shape::duration, {},
     [](Target to, S text) {
         if (to.service)
             return set(to.service->drain_timeout, parse_duration(text));
         return set(to.settings.drain_timeout, parse_duration(text));
     }},

    {program, "stderr", "log|client|null", "log; with pty: client",
     "standard error of the instance: into the log, to the client with the output, or nowhere",
     Scope::instances, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->stderr_to, text,
                           {{"log", StderrTo::log}, {"client", StderrTo::client}, {"null", StderrTo::null}});
     }},
    {program, "pty", "[echo|raw]", "no terminal",
     "a terminal instead of plain standard input and output; echo (exec): one that echoes, for clients whose own "
     "terminal is raw; raw (exec): one that passes on every byte as it comes",
     Scope::instances, Shape::variant, {}, [](Target to, S text) { return set_terminal(to.service->pty, text); }},
    {program, "env", "NAME=VALUE", "-", "environment of the instance, which has nothing else of the daemon's. "
     "exec: {port}, {dir} and {listen-port} in VALUE are as in the arguments; docker: {listen-port}",
     Scope::instances, Shape::map, {}, add_env},
    {program, "client-env", "on|off", "on (off with warm)",
     "tell the instance who its client is: INSTANCER_CLIENT_ADDRESS, INSTANCER_CLIENT_PORT, INSTANCER_IDENTITY, "
     "INSTANCER_OWNER, INSTANCER_SERVICE, and INSTANCER_LISTEN_PORT, the port that its first client connected to",
     Scope::instances, Shape::text, {},
     [](Target to, S text) { return set(to.service->client_env, parse_switch(text)); }},
    {program, "user", "NAME|UID[:GROUP|GID]|FIRST-LAST",
     "exec: the daemon's own; docker: the image's, or 65534 if that is root",
     "user and group of the instance. exec: of a range, as in 70000-70063, each instance has a user and a group for "
     "itself, which also caps the instances; use this, because instances of one user can stop each other",
     Scope::instances, Shape::text, {}, set_user},

    {process, "io", "stdio|socket|port", "stdio",
     "how to reach the process: its standard input and output; the client's own socket handed over to it; a port that "
     "it listens on, {port} in its arguments and PORT in its environment",
     Scope::exec, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->io, text,
                           {{"stdio", ProcessIo::stdio}, {"socket", ProcessIo::socket}, {"port", ProcessIo::port}});
     }},
    {process, "ports", "FIRST-LAST", "any free port",
     "ports that the processes listen on, which also caps the instances",
     Scope::exec, Shape::text, {}, [](Target to, S text) { return set(to.service->ports, parse_ports(text)); }},
    {process, "workdir", "DIR", "the current directory, in a configuration its own; {dir} with dir-template",
     "working directory of the processes; may begin with {dir}",
     Scope::exec, Shape::text, {},
     [](Target to, S text) {
         return text.substr(0, 5) == "{dir}" ? set_text(to.service->working_directory, text)
                                             : set_path(to, to.service->working_directory, text);
     }},
    {process, "dir-template", "DIR", "-",
     "what {dir} is a copy of: a fresh private directory of each instance, used by {dir} in the arguments; empty at "
     "first without a template",
     Scope::exec, Shape::text, {}, [](Target to, S text) { return set_path(to, to.service->dir_template, text); }},

    {container, "image", "IMAGE", "-", "image of the containers",
     Scope::docker, Shape::text, {}, [](Target to, S text) { return set_text(to.service->docker.image, text); }},
    {container, "port", "N", "the only one that the image exposes", "port that the program in the container listens on",
     Scope::docker, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->docker.port, text, 1, 65535); }},
    {container, "stdio", "", "off", "reach the program by its standard input and output instead of a port",
     Scope::docker, Shape::flag, {},
     [](Target to, S text) -> Parsed<void> {
         to.service->docker.io = text == "true" ? DockerIo::stdio : DockerIo::port;
         return {};
     }},
    {container, "pull", "missing|never", "missing", "whether to pull an image that the engine does not have",
     Scope::docker, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->docker.pull, text,
                           {{"missing", DockerPull::missing}, {"never", DockerPull::never}});
     }},
    {container, "egress", "", "off", "let containers reach the outside; without it they have no network at all",
     Scope::docker, Shape::flag, {}, [](Target to, S text) { return set_flag(to.service->docker.egress, text); }},
    {container, "mount", "SOURCE:TARGET", "-", "a directory or file of the host, read-only",
     Scope::docker, Shape::list, "mounts", add_mount},
    {container, "tmpfs", "PATH:SIZE", "-", "a further writable directory in memory, besides /tmp",
     Scope::docker, Shape::list, {}, add_tmpfs},
    {container, "writable", "", "off", "let containers write to their root file system; it is gone with them",
     Scope::docker, Shape::flag, {},
     [](Target to, S text) -> Parsed<void> {
         to.service->docker.read_only = text != "true";
         return {};
     }},
    {container, "runtime", "NAME", "the engine's own", "another container runtime, such as runsc",
     Scope::docker, Shape::text, {}, [](Target to, S text) { return set_text(to.service->docker.runtime, text); }},
    {container, "engine", "unix://PATH", "DOCKER_HOST, else unix:///var/run/docker.sock", "where the Docker engine listens",
     Scope::docker, Shape::text, {},
     [](Target to, S text) -> Parsed<void> {
         if (text.substr(0, 8) != "unix:///")
             return wrong("'" + text + "' is no engine on this host; write unix:///var/run/docker.sock");
         return set_text(to.service->docker.engine, text);
     }},

    {upstream, "to", "ADDR[=WEIGHT],...", "-",
     "servers that connections are passed on to: host:port, [v6]:port or unix:/path, each with its share; weight 0: "
     "only the connections that it has",
     Scope::forward, Shape::list, {}, add_upstreams},
    {upstream, "to-file", "FILE", "-",
     "servers that connections are passed on to, one ADDR[=WEIGHT] a line; # starts a comment; read again on SIGHUP, connections that exist go on",
     Scope::forward, Shape::text, {}, [](Target to, S text) { return set_path(to, to.service->upstreams_file, text); }},
    {upstream, "balance", "round-robin|least-connections|source-hash|random", "round-robin",
     "how a connection's server is chosen: in turn; the one with the fewest; the same one for the same client address; "
     "of two at random the one with fewer",
     Scope::forward, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->upstream.balance, text,
                           {{"round-robin", Balance::round_robin},
                            {"least-connections", Balance::least_connections},
                            {"source-hash", Balance::source_hash},
                            {"random", Balance::random}});
     }},
    {upstream, "connect-timeout", "DURATION", "5s",
     "how long a server may take to answer; then the next one is tried. With a tunnel's agent: a target, or its server",
     Scope::dialers, Shape::duration, {},
     [](Target to, S text) {
         auto& limit = to.service->mode == Mode::tunnel_agent ? to.service->tunnel.connect_timeout
                                                              : to.service->upstream.connect_timeout;
         return set_limit(limit, text, "5s");
     }},
    {upstream, "max-fails", "N", "3", "failures in a row after which a server is tried last; 0: never",
     Scope::forward, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->upstream.max_fails, text); }},
    {upstream, "fail-timeout", "DURATION", "10s", "how long a server is tried last after max-fails failures",
     Scope::forward, Shape::duration, {},
     [](Target to, S text) { return set(to.service->upstream.fail_timeout, parse_duration(text)); }},
    {upstream, "check-interval", "DURATION", "0",
     "time between two checks of a server, each by a connection of its own; one that is down gets no client at all. 0: no "
     "checks",
     Scope::forward, Shape::duration, {},
     [](Target to, S text) { return set(to.service->upstream.check.interval, parse_duration(text)); }},
    {upstream, "check-timeout", "DURATION", "2s", "how long one check may take",
     Scope::forward, Shape::duration, {},
     [](Target to, S text) { return set_limit(to.service->upstream.check.timeout, text, "2s"); }},
    {upstream, "check-send", "TEXT", "-", "what a check sends, with \\r, \\n, \\t, \\0, \\\\ and \\xHH as in C",
     Scope::forward, Shape::text, {},
     [](Target to, S text) { return set(to.service->upstream.check.send, parse_escaped(text)); }},
    {upstream, "check-expect", "TEXT", "to connect is enough",
     "what the first 4 KiB of the answer to a check must hold somewhere, written as for check-send",
     Scope::forward, Shape::text, {},
     [](Target to, S text) -> Parsed<void> {
         auto& expect = to.service->upstream.check.expect;
         if (const auto done = set(expect, parse_escaped(text)); !done)
             return done;
         return expect.size() <= 4096 ? Parsed<void>() : wrong("is longer than the 4096 bytes that are looked at");
     }},
    {upstream, "check-fall", "N", "3", "checks that fail in a row until a server is down; the very first decides alone",
     Scope::forward, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->upstream.check.fall, text, 1); }},
    {upstream, "check-rise", "N", "2", "checks that succeed in a row until a server is up again",
     Scope::forward, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->upstream.check.rise, text, 1); }},
    {upstream, "slow-start", "DURATION", "0",
     "how long a server that came back, or was added, takes to reach its full share",
     Scope::forward, Shape::duration, {},
     [](Target to, S text) { return set(to.service->upstream.slow_start, parse_duration(text)); }},
    {upstream, "when-down", "reset|close-listener", "reset",
     "what clients meet when no server works: a reset; or nobody who listens, until one works again",
     Scope::forward, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->when_down, text,
                           {{"reset", WhenDown::reset}, {"close-listener", WhenDown::close_listener}});
     }},
    {upstream, "max-per-upstream", "N", "0",
     "connections to one server at once; when all have so many, clients wait (queue-size, queue-timeout). 0: no limit",
     Scope::forward, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->upstream.max_per_upstream, text); }},
    {upstream, "send-proxy", "off|v1|v2", "off",
     "tell the server who its client is: a header of the PROXY protocol before the client's first byte",
     Scope::forward, Shape::text, {},
     [](Target to, S text) {
         using Version = std::optional<ProxyVersion>;
         return set_choice(to.service->upstream.send_proxy, text,
                           {{"off", Version()}, {"v1", Version(ProxyVersion::v1)}, {"v2", Version(ProxyVersion::v2)}});
     }},

    {channels, "auth-string", "TEXT", "-",
     "what every client must say first. Other users of this machine can see it in the list of processes: better use "
     "auth-file",
     Scope::relay, Shape::text, {}, [](Target to, S text) { return set_text(to.service->relay.auth_string, text); }},
    {channels, "auth-file", "FILE", "-",
     "a file that holds what every client must say first; the end of its last line does not belong to it; read again on SIGHUP",
     Scope::relay, Shape::text, {}, [](Target to, S text) { return set_path(to, to.service->relay.auth_file, text); }},
    {channels, "max-pairs", "N", "65535",
     "the largest number of a channel, the first one being 0; clients write it with as many hexadecimal digits as this has",
     Scope::relay, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->relay.greeting.max_channel, text, 0, 0xffffffff); }},
    {channels, "digit-pause", "DURATION", "200ms",
     "a channel number with fewer digits is complete when nothing has followed for so long",
     Scope::relay, Shape::duration, {},
     [](Target to, S text) { return set_limit(to.service->relay.greeting.digit_pause, text, "200ms"); }},
    {channels, "dialect", "code|documentation", "code",
     "how clients are greeted: as the original's code does, with a newline after the banner and READY on joining, or as "
     "its documentation says, with neither",
     Scope::relay, Shape::text, {},
     [](Target to, S text) {
         bool code = true;
         const auto done = set_choice(code, text, {{"code", true}, {"documentation", false}});
         to.service->relay.greeting.newline = to.service->relay.greeting.ready = code;
         return done;
     }},
    {channels, "echo", "", "off", "members get what they send themselves, too (-e)",
     Scope::relay, Shape::flag, {}, [](Target to, S text) { return set_flag(to.service->relay.channels.echo, text); }},
    {channels, "slow", "wait|disconnect|queue", "wait",
     "what happens when a member does not take what the others send: they wait; they wait for slow-timeout, and then it "
     "is disconnected; nobody waits, and it is disconnected when more than slow-queue is queued for it",
     Scope::relay, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->relay.channels.slow, text,
                           {{"wait", SlowMember::wait},
                            {"disconnect", SlowMember::disconnect},
                            {"queue", SlowMember::queue}});
     }},
    {channels, "slow-timeout", "DURATION", "10s", "how long a member may hold up the others",
     Scope::relay, Shape::duration, {},
     [](Target to, S text) {
         std::chrono::milliseconds limit{0};
         const auto done = set_limit(limit, text, "10s");
         to.service->relay.channels.slow_timeout = limit;
         return done;
     }},
    {channels, "slow-queue", "SIZE", "1m", "how much may be queued for one member",
     Scope::relay, Shape::size, {},
     [](Target to, S text) { return set(to.service->relay.channels.slow_queue, parse_size(text)); }},
    {channels, "alone", "discard|hold", "discard",
     "what becomes of bytes that are sent while nobody else is in the channel: nobody gets them; or who joins next gets "
     "them, and the sender waits when there are more than alone-limit",
     Scope::relay, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->relay.channels.alone, text,
                           {{"discard", SentAlone::discard}, {"hold", SentAlone::hold}});
     }},
    {channels, "alone-limit", "SIZE", "256k", "how much is held for who joins next",
     Scope::relay, Shape::size, {},
     [](Target to, S text) { return set(to.service->relay.channels.alone_limit, parse_size(text)); }},
    {channels, "half-close", "leave|stay|pass", "leave",
     "what the end of a member's sending means: it leaves, after it has got what was sent before; or it stays and "
     "listens, until its connection ends or half-close-timeout is over; or, between two members, it is the end of the "
     "other's input as well, and a member that has gone without an end has the other one reset",
     Scope::relay, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->relay.channels.end, text,
                           {{"leave", MemberEnd::leave}, {"stay", MemberEnd::stay}, {"pass", MemberEnd::pass}});
     }},
    {channels, "control", "ADDR", "-",
     "where the control prompt listens, for one connection at a time (-d: 127.0.0.1:32565); whoever reaches it can do "
     "all that it can. Without it a relay that is started from a terminal has the prompt there",
     Scope::relay, Shape::text, {},
     [](Target to, S text) -> Parsed<void> {
         const auto address = parse_local_address(to, text);
         if (!address)
             return wrong(address.error());
         to.service->relay.control = *address;
         return {};
     }},
    {channels, "verbose", "0-4", "1",
     "what is logged (-v to -vvvv): 0 warnings; 1 connections and channels; 2 also what happens before a client joins; 3 "
     "also the size of all that is sent; 4 also the bytes, which may hold passwords. In a configuration log-level says "
     "how much of the rest",
     Scope::relay, Shape::number, {},
     [](Target to, S text) { return set_count(to.service->relay.verbosity, text, 0, 4); }},

    {tunnel, "proxy", "ADDR", "server: 0.0.0.0:8443",
     "-p. Server: where agents connect. Agent: its server, as host:port",
     Scope::tunnel, Shape::text, {}, set_tunnel_peer},
    {tunnel, "routing", "FILE", "-",
     "-t. The server's routes, one a line, as in 0.0.0.0:8080 10.0.0.1:80: where users connect, and which target the "
     "agent connects them to; # starts a comment",
     Scope::tunnel_server, Shape::text, {},
     [](Target to, S text) { return set_path(to, to.service->tunnel.routing_file, text); }},
    {tunnel, "route", "'LISTEN TARGET'", "-",
     "a route of the server, as in the file of routing; a range of ports, as in ':20000-20009 10.0.0.1:20000-20009', is a "
     "route for each pair, or all to one target",
     Scope::tunnel_server, Shape::list, "routes",
     [](Target to, S text) -> Parsed<void> {
         const auto parsed = parse_routes(text);
         if (!parsed)
             return wrong(parsed.error());
         auto& routes = to.service->tunnel.routes;
         routes.insert(routes.end(), parsed->begin(), parsed->end());
         return {};
     }},
    {tunnel, "config", "FILE", "-",
     "-c. JSON with controller_user, an address for each user, and proxy_client_whitelist, a list of the addresses of "
     "agents; read again on SIGHUP",
     Scope::tunnel_server, Shape::text, {},
     [](Target to, S text) { return set_path(to, to.service->tunnel.config_file, text); }},
    {tunnel, "db", "FILE", "-", "-d. SQLite database of users: who connects from the ip of one of them is let in",
     Scope::tunnel_server, Shape::text, {},
     [](Target to, S text) { return set_path(to, to.service->tunnel.database, text); }},
    {tunnel, "any-user", "", "off", "let everybody in, as far as the access rules do, instead of known users",
     Scope::tunnel_server, Shape::flag, {},
     [](Target to, S text) { return set_flag(to.service->tunnel.any_user, text); }},
    {tunnel, "agents", "CIDR|ADDRESS|all", "-", "where agents may come from, beside proxy_client_whitelist",
     Scope::tunnel_server, Shape::list, {},
     [](Target to, S text) -> Parsed<void> {
         const auto network = parse_network(text);
         if (!network)
             return wrong(network.error());
         to.service->tunnel.agents.push_back(*network);
         return {};
     }},
    {tunnel, "second-agent", "takes-over|refused", "takes-over",
     "what becomes of an agent that comes while another one is connected",
     Scope::tunnel_server, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->tunnel.second_agent, text,
                           {{"takes-over", SecondAgent::takes_over}, {"refused", SecondAgent::refused}});
     }},
    {tunnel, "agent-wait", "DURATION", "10s", "how long users wait for an agent while none is connected; 0: not at all",
     Scope::tunnel_server, Shape::duration, {},
     [](Target to, S text) { return set(to.service->tunnel.agent_wait, parse_duration(text)); }},
    {tunnel, "control", "ADDR|off", "127.0.0.1:4430",
     "-C. The server's control port: sessions, set userip NAME [IP], set loglvl N, disconnect IP:PORT. Whoever reaches "
     "it may use it",
     Scope::tunnel_server, Shape::text, {}, set_tunnel_control},
    {tunnel, "hold-back", "DURATION", "100ms",
     "time between the message that opens a session and the data that follows, toward an agent of the original, which "
     "would connect twice",
     Scope::tunnel_server, Shape::duration, {},
     [](Target to, S text) { return set(to.service->tunnel.link.hold_back, parse_duration(text)); }},
    {tunnel, "half-close-hold", "DURATION", "30s",
     "toward an end of the original, which knows no half-close: how long the other direction may be silent until the "
     "session ends",
     Scope::tunnel, Shape::duration, {},
     [](Target to, S text) -> Parsed<void> {
         std::chrono::milliseconds hold{};
         const auto done = set_limit(hold, text, "30s");
         to.service->tunnel.link.half_close_hold = hold;
         return done;
     }},
    {tunnel, "session-buffer", "SIZE", "1m",
     "what is kept of a session whose receiver is slow. Between two of ours no more is sent; toward the original the "
     "whole link waits for a moment",
     Scope::tunnel, Shape::size, {},
     [](Target to, S text) -> Parsed<void> {
         const auto size = parse_size(text);
         if (size && (*size < 16 * 1024 || *size > (std::uint64_t{1} << 30)))
             return wrong("'" + text + "' does not fit; write a size from 16k to 1g");
         return set(to.service->tunnel.link.session_buffer, size);
     }},
    {tunnel, "total-buffer", "SIZE", "256m",
     "what is kept of all sessions of a link together; beyond it the session ends of which most is kept. Toward the "
     "original the whole link waits for a moment",
     Scope::tunnel, Shape::size, {},
     [](Target to, S text) -> Parsed<void> {
         const auto size = parse_size(text);
         if (size && *size == 0)
             return wrong("nothing could be kept; write a size such as 256m");
         return set(to.service->tunnel.link.total_buffer, size);
     }},
    {tunnel, "stall-timeout", "DURATION", "2s",
     "how long a slow receiver of a session may hold up others; then the session is disconnected whose receiver has "
     "not taken half of session-buffer",
     Scope::tunnel, Shape::duration, {},
     [](Target to, S text) -> Parsed<void> {
         std::chrono::milliseconds stall{};
         const auto done = set_limit(stall, text, "2s");
         to.service->tunnel.link.stall_timeout = stall;
         return done;
     }},
    {tunnel, "targets", "CIDR|ADDRESS|all[:PORT]", "all",
     "which targets the server may have the agent connect to, as in 10.0.0.0/8 or 10.0.0.1:80",
     Scope::tunnel_agent, Shape::list, {},
     [](Target to, S text) -> Parsed<void> {
         const auto targets = parse_targets(text);
         if (!targets)
             return wrong(targets.error());
         to.service->tunnel.targets.push_back(*targets);
         return {};
     }},
    {tunnel, "keep-alive", "DURATION", "50s",
     "after so long without traffic the agent asks the server for a sign of life, which may take 20s",
     Scope::tunnel_agent, Shape::duration, {},
     [](Target to, S text) -> Parsed<void> {
         std::chrono::milliseconds interval{};
         const auto done = set_limit(interval, text, "50s");
         to.service->tunnel.link.keep_alive = interval;
         return done;
     }},
    {tunnel, "reconnect", "DURATION", "5s", "how long the agent waits before it tries its server again",
     Scope::tunnel_agent, Shape::duration, {},
     [](Target to, S text) { return set_limit(to.service->tunnel.reconnect, text, "5s"); }},
    {tunnel, "verbose", "N", "20",
     "-v. What is logged, as log-level: 10 (debug), 20 (info), 30 (warning), 40 (error), 50; or 1 to 4, from errors "
     "alone to everything",
     Scope::tunnel, Shape::number, {}, set_verbosity},

    {traffic, "traffic-log", "off|text|hex", "off",
     "show in the log what passes, > from the client and < to it: as text, control characters escaped, or as hex. It "
     "may hold passwords and other secrets",
     Scope::service, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.service->traffic_log.format, text,
                           {{"off", TrafficLogFormat::off},
                            {"text", TrafficLogFormat::text},
                            {"hex", TrafficLogFormat::hex}});
     }},
    {traffic, "traffic-log-limit", "SIZE", "64k", "bytes to show of each direction of a session; 0: no limit",
     Scope::service, Shape::size, {},
     [](Target to, S text) { return set(to.service->traffic_log.limit, parse_size(text)); }},
    {traffic, "record", "DIR", "-",
     "record each session in a file of this directory, for tcpdump and Wireshark: SERVICE-START-SESSION.pcap, which "
     "nobody else may read. It may hold passwords and other secrets",
     Scope::service, Shape::text, {},
     [](Target to, S text) { return set_path(to, to.service->record.directory, text); }},
    {traffic, "record-limit", "SIZE", "16m", "largest recording of one session; the session goes on; 0: no limit",
     Scope::service, Shape::size, {},
     [](Target to, S text) { return set(to.service->record.limit, parse_size(text)); }},
    {traffic, "record-total", "SIZE", "1g",
     "what the recordings of the service may take up of the disk; the oldest are deleted first; 0: no limit",
     Scope::service, Shape::size, {},
     [](Target to, S text) { return set(to.service->record.total, parse_size(text)); }},

    {limits, "limit-memory", "SIZE", "docker: 256m; exec: no limit", "memory, with swap; exec without a control group: address space of each process",
     Scope::instances, Shape::size, "limits.memory",
     [](Target to, S text) { return set(to.service->limits.memory, parse_size(text)); }},
    {limits, "limit-cpus", "N", "docker: 1; exec: no limit", "processors, as in 0.5; exec: needs a control group",
     Scope::instances, Shape::number, "limits.cpus",
     [](Target to, S text) { return set(to.service->limits.cpus, parse_cpus(text)); }},
    {limits, "limit-pids", "N", "docker: 64; exec: no limit",
     "processes and threads; exec without a control group: all of the instance's user, and not for root",
     Scope::instances, Shape::number, "limits.pids",
     [](Target to, S text) { return set_count(to.service->limits.pids, text); }},
    {limits, "limit-nofile", "N", "1024", "open files of each process",
     Scope::instances, Shape::number, "limits.nofile",
     [](Target to, S text) { return set_count(to.service->limits.nofile, text); }},
    {limits, "limit-core", "SIZE", "0", "core file of a process that crashes; 0: none is written",
     Scope::instances, Shape::size, "limits.core",
     [](Target to, S text) { return set(to.service->limits.core, parse_size(text)); }},
    {limits, "limit-tmp", "SIZE", "docker: 64m", "contents of /tmp; docker only",
     Scope::instances, Shape::size, "limits.tmp",
     [](Target to, S text) { return set(to.service->limits.tmp, parse_size(text)); }},
    {limits, "limit-log", "SIZE", "docker: 1m", "output that the engine keeps of a container; docker only",
     Scope::instances, Shape::size, "limits.log",
     [](Target to, S text) { return set(to.service->limits.log, parse_size(text)); }},

    {whole, "name", "NAME", "made from the machine, and the listen addresses or the path of the configuration",
     "what a later start of the same daemon finds its leftovers by",
     Scope::daemon, Shape::text, {}, [](Target to, S text) { return set(to.settings.name, parse_name(text)); }},
    {whole, "init", "PATH", "looked for beside instancerd, and in libexec/instancer",
     "the program instancer-init, which starts an instance of exec that has a user",
     Scope::daemon, Shape::text, {}, [](Target to, S text) { return set_path(to, to.settings.init, text); }},
    {whole, "threads", "N", "number of cores", "threads that serve",
     Scope::daemon, Shape::number, {},
     [](Target to, S text) { return set_count(to.settings.threads, text, 1, 1024); }},
    {whole, "busy-poll", "DURATION", "0",
     "how long a thread looks for more bytes, with a whole processor, before it sleeps; 100us or so make answers faster "
     "where they come within microseconds, at most 10ms",
     Scope::daemon, Shape::duration, {},
     [](Target to, S text) -> Parsed<void> {
         const auto spin = parse_short_duration(text);
         if (spin && *spin > std::chrono::milliseconds(10))
             return wrong("'" + text + "' is longer than 10ms; write 100us");
         return set(to.settings.busy_poll, spin);
     }},
    {whole, "log-level", "debug|info|warning|error", "info", "how much is logged, on standard error",
     Scope::daemon, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.settings.log_level, text,
                           {{"debug", LogLevel::debug},
                            {"info", LogLevel::info},
                            {"warning", LogLevel::warning},
                            {"error", LogLevel::error}});
     }},
    {whole, "log", "FILE", "standard error", "-l. Append the log to a file, which is opened again on SIGHUP",
     Scope::daemon, Shape::text, {}, [](Target to, S text) { return set_path(to, to.settings.log_file, text); }},
    {whole, "log-format", "text|json", "text", "lines to read, or one JSON object a line",
     Scope::daemon, Shape::text, {},
     [](Target to, S text) {
         return set_choice(to.settings.log_format, text, {{"text", LogFormat::text}, {"json", LogFormat::json}});
     }},
};
// clang-format on

std::string escaped(std::string_view text)
{
    std::string cell;
    for (const char c : text)
        cell += c == '|' ? std::string("\\|") : std::string(1, c);
    return cell;
}

}  // namespace

std::span<const Option> options() { return table; }

const Option* find_option(std::string_view name)
{
    const auto found = std::find_if(std::begin(table), std::end(table), [&](auto& o) { return o.name == name; });
    return found == std::end(table) ? nullptr : found;
}

std::string key_of(std::string_view name)
{
    const auto option = find_option(name);
    return std::string(option ? option->config_key() : name);
}

std::string markdown_table()
{
    std::string text = "| option | default | what it does |\n|---|---|---|\n";
    std::string_view group;
    for (const auto& option : options()) {
        if (option.group != group) {
            group = option.group;
            text += "| **" + std::string(group) + "** | | |\n";
        }
        const auto value = option.value.empty() ? std::string() : " " + escaped(option.value);
        text += "| `--" + std::string(option.name) + value + "` | " + std::string(option.fallback) + " | " +
                escaped(option.help) + " |\n";
    }
    return text;
}

}  // namespace instancer::daemon
