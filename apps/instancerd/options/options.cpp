// SPDX-License-Identifier: MIT
#include "options/options.hpp"

#include <algorithm>
#include <utility>

#include "admin/admin_options.hpp"
#include "authentication/authentication_options.hpp"
#include "crowd/crowd.hpp"
#include "ctl/ctl.hpp"
#include "files/access.hpp"
#include "flags/flags.hpp"
#include "modes/modes.hpp"
#include "observe/watch.hpp"
#include "options/types.hpp"
#include "proof/proof.hpp"
#include "relaxing/relaxing.hpp"

namespace instancer::daemon {

namespace {

using S = ServiceSettings;
using P = PoolOptions;

constexpr Choice<WhenDenied> when_denied[] = {
    {"reset", WhenDenied::reset}, {"hold", WhenDenied::hold}, {"close", WhenDenied::close}};
constexpr Choice<Auth> auths[] = {{"open", Auth::open},     {"source", Auth::source},       {"token", Auth::token},
                                  {"prompt", Auth::prompt}, {"signed", Auth::signed_token}, {"webhook", Auth::webhook},
                                  {"ctfd", Auth::ctfd},     {"rctf", Auth::rctf},           {"shared", Auth::shared}};
constexpr Choice<OnRemoved> on_removed[] = {{"keep", OnRemoved::keep}, {"end", OnRemoved::end}};
constexpr Choice<WhenFull> when_full[] = {{"refuse", WhenFull::refuse},
                                          {"queue", WhenFull::queue},
                                          {"cull-oldest", WhenFull::cull_oldest},
                                          {"cull-idle", WhenFull::cull_idle}};
constexpr Choice<StderrTo> stderrs[] = {{"log", StderrTo::log}, {"client", StderrTo::client}, {"null", StderrTo::null}};
constexpr Choice<TerminalMode> terminals[] = {{"true", TerminalMode::cooked},
                                              {"off", TerminalMode::none},
                                              {"echo", TerminalMode::echo},
                                              {"raw", TerminalMode::raw}};
constexpr std::string_view terminal_words[] = {"off", "echo", "raw"};
constexpr Choice<bool> switches[] = {{"on", true}, {"off", false}};
constexpr Choice<TrafficLogFormat> traffic_formats[] = {
    {"off", TrafficLogFormat::off}, {"text", TrafficLogFormat::text}, {"hex", TrafficLogFormat::hex}};
constexpr Choice<LogLevel> log_levels[] = {
    {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warning", LogLevel::warning}, {"error", LogLevel::error}};
constexpr Choice<LogFormat> log_formats[] = {{"text", LogFormat::text}, {"json", LogFormat::json}};

Parsed<void> add_listen(Target to, const std::string& text)
{
    const auto addresses = parse_addresses(text);
    if (!addresses)
        return wrong(addresses.error());
    for (const auto& address : *addresses)
        to.service->listen.push_back(to.settings.resolve(address));
    return {};
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

Parsed<void> set_time_zone(Target to, const std::string& text)
{
    if (text.empty())
        return wrong("names no time zone; write one as in Europe/Berlin");
    if (const auto clock = find_clock(text); !clock)
        return wrong(clock.error());
    to.service->time_zone = text;
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

Parsed<void> set_prompt(Target to, const std::string& text)
{
    to.service->prompt = text;
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

std::string show_reset_id(const View& from)
{
    std::string digits;
    for (const auto byte : from.service->reset_id)
        for (const int shift : {4, 0})
            digits += "0123456789abcdef"[byte >> shift & 15];
    return digits;
}

Parsed<void> set_stop_grace(Target to, const std::string& text)
{
    const auto grace = parse_duration(text);
    if (grace && *grace > std::chrono::minutes(10))
        return wrong("'" + text + "' is longer than 10m; an instance that does not stop must be killed some time");
    return set(to.service->stop_grace, grace);
}

/// `true` is a terminal as programs expect it.
Parsed<void> set_terminal(Target to, const std::string& text)
{
    for (const auto& [name, mode] : terminals)
        if (name == (text == "false" ? "off" : text)) {
            to.service->pty = mode;
            return {};
        }
    return wrong("'" + text + "' is no kind of terminal; write echo, raw, or nothing");
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

Parsed<void> set_user(Target to, const std::string& text)
{
    auto& service = *to.service;
    if (!is_user_range(text))
        return daemon::text<&S::user>.parse(to, text);
    if (service.mode != Mode::exec)
        return wrong("'" + text + "' is a range of users, which is for exec; write one user, as in 65534");
    const auto users = parse_users(text);
    if (!users)
        return wrong(users.error());
    service.users = *users;
    return {};
}

Parsed<void> set_name(Target to, const std::string& text) { return set(to.settings.name, parse_name(text)); }

Parsed<void> set_busy_poll(Target to, const std::string& text)
{
    const auto spin = parse_short_duration(text);
    if (spin && *spin > std::chrono::milliseconds(10))
        return wrong("'" + text + "' is longer than 10ms; write 100us");
    return set(to.settings.busy_poll, spin);
}

// Docker refuses less than 6m. Hardly a program starts with less than 256k: a guess.
constexpr std::uint64_t least_of_container = 6 << 20, least_of_process = 256 << 10;

constexpr Type max_connections =
    by_mode<Mode::relay, count<&S::relay, &RelaySettings::channels, &RelayOptions::max_members>,
            count<&S::max_connections>>;
constexpr Type max_sessions =
    by_mode<Mode::tunnel_agent, count<&S::tunnel, &TunnelSettings::link, &TunnelOptions::max_sessions>,
            count<&S::pool, &P::max_sessions_per_instance>>;
constexpr Type queue_size = by_mode<Mode::forward, count<&S::upstream, &UpstreamOptions::queue_size>,
                                    count_in<1, many, &S::pool, &P::queue_size>>;
constexpr Type queue_timeout = by_mode<Mode::forward, duration<&S::upstream, &UpstreamOptions::queue_timeout>,
                                       duration<&S::pool, &P::queue_timeout>>;
constexpr Type max_instances = service_or_daemon<count<&S::pool, &P::max_instances>, count<&Settings::max_instances>>;
constexpr Type max_per_owner = service_or_daemon<count<&S::pool, &P::max_per_owner>, count<&Settings::max_per_owner>>;
constexpr Type drain_timeout = service_or_daemon<duration<&S::drain_timeout>, duration<&Settings::drain_timeout>>;
constexpr Type terminal =
    custom<Shape::variant, set_terminal, choice<terminals, &S::pty>.print>.called("[echo|raw]").offering(terminal_words);
constexpr Type user = custom<Shape::text, set_user, show<&S::user>>.called("NAME|UID[:GROUP|GID]|FIRST-LAST");
constexpr Type limit_memory = by_mode<Mode::exec, size_from<least_of_process, &S::limits, &Limits::memory>,
                                      size_from<least_of_container, &S::limits, &Limits::memory>>;

constexpr Needs with_rules = {{{{"allow"}, {"deny"}, {"access-file"}}}, "rules"};
constexpr Needs with_denials = {with_rules.any_of, "rules", {{{"connect-rate"}, {"ban-after"}, {"ban-file"}}}};
constexpr Needs with_tokens = {{{{"auth", "token"}, {"auth", "prompt"}}}};
constexpr Needs with_owners = {{{{"auth", "source"}, {"auth", "prompt"}, {"auth", "token"}}},
                               "clients that can be told apart",
                               {{{"auth", "signed"}, {"auth", "webhook"}, {"auth", "ctfd"}, {"auth", "rctf"}}}};
constexpr Needs with_sources = {{{{"auth", "source"}, {"max-per-source"}}},
                                {},
                                {{{"auth", "token"},
                                  {"auth", "prompt"},
                                  {"accept-proxy"},
                                  {"connect-rate"},
                                  {"ban-after"},
                                  {"start-rate"},
                                  {"auth", "signed"},
                                  {"auth", "webhook"},
                                  {"auth", "ctfd"},
                                  {"auth", "rctf"}}},
                                Scope::unrelayed};
constexpr Needs with_dialogue = {{{{"auth", "token"}, {"auth", "prompt"}, {"accept-proxy"}}},
                                 {},
                                 {{{"auth", "signed"}, {"auth", "webhook"}, {"auth", "ctfd"}, {"auth", "rctf"}}},
                                 Scope::unrelayed};
constexpr Needs with_queue = {{{{"when-full", "queue"}, {"max-per-upstream"}}}};
constexpr Needs with_waiting = {{{{"when-full", "queue"}, {"max-per-upstream"}}}, {}, {{{"max-starting"}}}};
constexpr Needs with_traffic_log = {{{{"traffic-log", "text"}, {"traffic-log", "hex"}}}};
constexpr Needs with_extension = {{{{"extend", {}, "DURATION"}}}};
constexpr Needs with_record = {{{{"record", {}, "DIR"}}}};

constexpr Conflict unseen = {{"io", "socket"}, "no byte passes through us", {"io", "stdio"}};

constexpr std::string_view listening = "Listening", access = "Access", clients = "Clients", instances = "Instances",
                           times = "Times", program = "What runs", traffic = "Traffic",
                           limits = "Limits of one instance", whole = "The daemon";

/// The groups whose options mostly hold at once, or concern how instances are started.
constexpr std::string_view at_once[] = {listening, instances};
constexpr std::string_view of_starts[] = {program,
                                          limits,
                                          "Processes (exec)",
                                          "Containers (docker, oci, exec with sandbox)",
                                          "Containers without an engine (oci)",
                                          "Weaker walls (docker, oci)",
                                          "Flags"};

// group, name, type, scope, default, help, traits
// clang-format off
constexpr Option before_modes[] = {
    {listening, "listen", custom<Shape::list, add_listen>.called("ADDR"), Scope::listeners, {},
     "where clients connect: host:port, [v6]:port, :port (every address, IPv4 and IPv6), :20000-20009 (each of these "
     "ports), unix:/path, unix:@name (an abstract socket, without permissions), fd:NAME (a socket that systemd passes)"},
    {listening, "unix-mode", permissions<&S::unix_mode>, Scope::service, {},
     "permissions of Unix sockets that are listened on",
     {.effect = Effect::restart}},
    {listening, "unix-owner", text<&S::unix_owner>.called("NAME|UID"), Scope::service, "the daemon's own",
     "user that the files of Unix sockets belong to",
     {.effect = Effect::restart}},
    {listening, "unix-group", text<&S::unix_group>.called("NAME|GID"), Scope::service, "the daemon's own",
     "group that the files of Unix sockets belong to",
     {.effect = Effect::restart}},

    {access, "allow", custom<Shape::list, add_rule<true>>.called("RULE"), Scope::service, {},
     "clients that may connect, and when: [CIDR|ADDRESS|all] [DAYS] [HH:MM-HH:MM], as in 10.0.0.0/8, all sat,sun or "
     "2001:db8::/32 mon-fri 08:00-18:00. The rule for the smallest network decides; with any allow, nobody else may"},
    {access, "deny", custom<Shape::list, add_rule<false>>.called("RULE"), Scope::service, {},
     "clients that may not connect, and when, written as for allow; wins over an allow for the same network"},
    {access, "access-file", file<&S::access_file>, Scope::service, {},
     "further access rules, one a line, each after the word allow or deny; # starts a comment",
     {.reload = true}},
    {access, "time-zone", custom<Shape::text, set_time_zone, show<&S::time_zone>>.called("ZONE"), Scope::service, "the system's",
     "time zone of the rules, as in Europe/Berlin",
     {.needs = with_rules}},
    {access, "denied", choice<when_denied, &S::when_denied>, Scope::service, {},
     "treatment of a denied client: a reset; silence until it leaves, for an hour at most and for 1000 clients at "
     "once; an end without a byte",
     {.needs = with_denials}},
    {access, "max-connections", max_connections, Scope::service, {},
     "connections to the service at once; 0: no limit. One too many is reset. With relay: members of one channel, as "
     "the original calls it; one too many is told so (all connections: max-total)"},
    {access, "max-total", count<&S::max_connections>, Scope::relay, {},
     "connections to the relay at once; 0: no limit. One too many is reset"},
    {access, "max-per-source", count<&S::max_per_source>, Scope::service, {},
     "connections from one address at once (IPv6: source-prefix), or of one user of a Unix socket; 0: no limit"},
    {access, "max-unadmitted", count<&Settings::max_unadmitted>, Scope::daemon, "a quarter of the descriptors that are free at the start",
     "connections to all services together of clients that are not admitted yet, or are held (denied); 0: no limit. "
     "One more resets the oldest of the source (address, IPv6: source-prefix) that has most of them"},
    {access, "accept-proxy", custom<Shape::list, add_proxy>.called("CIDR|ADDRESS|all"), Scope::service, {},
     "proxies that must name their client first, by a PROXY header of version 1 or 2 (HAProxy's proxy-protocol.txt), "
     "of 4 KiB at most, within auth-timeout; that client counts from then on"},

    {clients, "auth", choice<auths, &S::auth>, Scope::instances, {},
     "how clients are told apart: not at all, every connection gets a new instance; by source address (by user id on "
     "a Unix socket); by the 130-byte token greeting; by a token that they are asked to type, for nc and telnet; by one "
     "that somebody else has signed; by one that a webhook, CTFd or rCTF knows; or all of them share one instance"},
    {clients, "source-prefix", count_in<1, 128, &S::source_prefix>.called("BITS"), Scope::service, {},
     "IPv6 clients that share this many leading bits count as one",
     {.needs = with_sources}},
    {clients, "source-prefix4", count_in<1, 32, &S::source_prefix4>.called("BITS"), Scope::service, {},
     "IPv4 clients that share this many leading bits count as one",
     {.needs = with_sources}},
    {clients, "tokens", file<&S::tokens>, Scope::instances, {},
     "accepted tokens, one a line: 128 characters, or hex: and 256 digits; with prompt whatever is typed, 256 "
     "characters at most. A name for the log may follow a token behind a tab; # starts a comment",
     {.needs = with_tokens, .reload = true}},
    {clients, "on-removed", choice<on_removed, &S::on_removed>, Scope::instances, {},
     "treatment of sessions and instances of a token that is gone when the file is read again: they go on, or end",
     {.needs = with_tokens}},
    {clients, "prompt", custom<Shape::text, set_prompt, show<&S::prompt>>.called("TEXT"), Scope::instances, {},
     "the question to a client; empty: a client is asked nothing and told nothing, and sends its token as the first "
     "line",
     {.needs = with_line}},
    {clients, "reset-id", custom<Shape::text, set_reset_id, show_reset_id>.called("HEX"), Scope::instances, {},
     "the identifier that asks for all instances of the token to go first",
     {.needs = {{{{"auth", "token"}}}}}},
    {clients, "auth-timeout", duration<&S::auth_timeout>, Scope::service, "10s; where a line is typed: 1m; relay: 5s",
     "how long a client may take to identify itself, and with relay to choose its channel",
     {.needs = with_dialogue}},

    {instances, "max-instances", max_instances, Scope::both, {},
     "instances at once; 0: no limit. At the top level of a configuration: of all services together, default 0"},
    {instances, "max-per-owner", max_per_owner, Scope::both, "4 (with open: no limit)",
     "instances of one token or source address; 0: no limit. At the top level of a configuration: in all services "
     "together, default 0",
     {.needs = with_owners, .zero_is_off = true}},
    {instances, "max-sessions", max_sessions, Scope::holders, {},
     "connections to one instance at once; 0: no limit. With a tunnel's agent: sessions at once; it refuses the server "
     "further ones"},
    {instances, "max-starting", count<&S::pool, &P::max_starting>, Scope::instances, "twice the cores",
     "instances that start at once; 0: no limit"},
    {instances, "when-full", choice<when_full, &S::pool, &P::when_full>, Scope::instances, {},
     "treatment of a client when a maximum is reached and every instance is in use: it is refused, waits in a fair "
     "queue, or takes the place of the instance that is oldest or idle for longest. An instance without clients makes "
     "room first, the longest unused one"},
    {instances, "queue-size", queue_size, Scope::queued, {},
     "clients that may wait; with forward for an upstream, and 0: none",
     {.needs = with_queue}},
    {instances, "queue-timeout", queue_timeout, Scope::queued, {},
     "how long a client waits, for room, an upstream, or its turn to start (max-starting)",
     {.needs = with_waiting}},
    {instances, "warm", count<&S::pool, &P::warm>, Scope::instances, {},
     "started instances kept ready for the next clients",
     {.conflict = {{"io", "socket"}, "the process starts with the client's socket", {"io", "stdio"}}}},

    {times, "ttl", duration<&S::pool, &P::ttl>, Scope::instances, {},
     "an instance ends this long after its first client has come",
     {.effect = Effect::new_instances}},
    {times, "extend", duration<&S::pool, &P::extension>, Scope::instances, {},
     "how much longer than ttl an instance lives each time that its owner asks for it; 0: nobody can",
     {.needs = {{{{"ttl", {}, "DURATION"}}}}, .zero_is_off = true, .effect = Effect::now}},
    {times, "extend-max", duration<&S::pool, &P::max_extension>, Scope::instances, {},
     "how much longer than ttl an instance can live in all",
     {.needs = with_extension, .effect = Effect::now}},
    {times, "extend-window", duration<&S::pool, &P::extension_window>, Scope::instances, {},
     "how long before its end an instance can be extended; 0: at any time",
     {.needs = with_extension, .effect = Effect::now}},
    {times, "idle", duration<&S::pool, &P::idle>, Scope::instances, "10m (with io socket: no limit)",
     "an instance ends after this long without a byte",
     {.conflict = unseen, .effect = Effect::new_instances}},
    {times, "linger", duration<&S::pool, &P::linger>, Scope::instances, "0 with open, else 5m",
     "how long an instance waits for its owner to come back after the last connection ended; here 0 means not at all",
     {.effect = Effect::new_instances}},
    {times, "session-idle", duration<&S::session_idle>, Scope::service, {},
     "a connection ends after this long without a byte",
     {.conflict = unseen}},
    {times, "half-close-timeout", duration<&S::half_close_timeout>, Scope::service, {},
     "a connection ends this long after one direction has ended, if the other one has not",
     {.needs = {{{{"half-close", "stay"}, {"half-close", "pass"}}}}, .conflict = unseen}},
    {times, "session-timeout", duration<&S::session_timeout>, Scope::service, {},
     "a connection ends after this long"},
    {times, "start-timeout", duration<&S::pool, &P::start_timeout>, Scope::instances, {},
     "how long an instance may take until it accepts connections",
     {.effect = Effect::new_instances}},
    {times, "stop-grace", custom<Shape::duration, set_stop_grace, show<&S::stop_grace>>.called("DURATION"), Scope::instances, {},
     "time between TERM and KILL. With stdio also the time until TERM for a program whose client is gone and which has "
     "closed its output",
     {.effect = Effect::restart}},
    {times, "drain-timeout", drain_timeout, Scope::anywhere, {},
     "how long sessions may go on after SIGTERM. In a configuration at the top level, or in a service of its own",
     {.effect = Effect::new_sessions}},

    {program, "stderr", choice<stderrs, &S::stderr_to>, Scope::instances, "log; with pty: client",
     "standard error of the instance: into the log, to the client with the output, or nowhere"},
    {program, "pty", terminal, Scope::instances, {},
     "a terminal instead of plain standard input and output; echo (exec, oci): one that echoes, for clients whose "
     "own terminal is raw; raw (exec, oci): one that passes on every byte as it comes",
     {.needs = {{{{"io", "stdio"}, {"stdio"}}}}}},
    {program, "env", custom<Shape::map, add_env>.called("NAME=VALUE"), Scope::instances, {},
     "environment of the instance, which has nothing else of the daemon's. "
     "exec: {port}, {dir} and {listen-port} in VALUE are as in the arguments; docker, oci: {listen-port}",
     {.secret = true}},
    {program, "client-env", choice<switches, &S::client_env>, Scope::instances, "on (off with warm)",
     "tell the instance who its client is: INSTANCER_CLIENT_ADDRESS, INSTANCER_CLIENT_PORT, INSTANCER_IDENTITY, "
     "INSTANCER_OWNER, INSTANCER_SERVICE, and INSTANCER_LISTEN_PORT, the port that its first client connected to",
     {.conflict = {{"warm"}, "a warm instance starts before it has a client"}}},
    {program, "user", user, Scope::instances, "exec: the daemon's own; docker, oci: the image's, or 65534 if that is root",
     "user and group of the instance. exec: of a range, as in 70000-70063, each instance has a user and a group for "
     "itself, which also caps the instances; use this, because instances of one user can stop each other"},
};

constexpr Option after_modes[] = {
    {traffic, "traffic-log", choice<traffic_formats, &S::traffic_log, &TrafficLogSettings::format>, Scope::service, {},
     "show passing bytes in the log, > from the client and < to it: as text, control characters escaped, or as hex. It "
     "may hold passwords and other secrets",
     {.conflict = unseen}},
    {traffic, "traffic-log-limit", size<&S::traffic_log, &TrafficLogSettings::limit>, Scope::service, {},
     "bytes to show of each direction of a session; 0: no limit",
     {.needs = with_traffic_log}},
    {traffic, "record", directory<&S::record, &RecordSettings::directory>, Scope::service, {},
     "record each session in a file of this directory, for tcpdump and Wireshark: SERVICE-START-SESSION.pcap, which "
     "nobody else may read. It may hold passwords and other secrets",
     {.conflict = unseen}},
    {traffic, "record-limit", size<&S::record, &RecordSettings::limit>, Scope::service, {},
     "largest recording of one session; the session goes on; 0: no limit",
     {.needs = with_record}},
    {traffic, "record-total", size<&S::record, &RecordSettings::total>, Scope::service, {},
     "disk space for the recordings of the service; the oldest are deleted first; 0: no limit",
     {.needs = with_record}},

    {limits, "limit-memory", limit_memory, Scope::instances, {},
     "memory, with swap; exec without a control group: address space of each process",
     {.key = "limits.memory"}},
    {limits, "limit-cpus", cpus<&S::limits, &Limits::cpus>, Scope::instances, {},
     "processors, as in 0.5; exec: needs a control group",
     {.key = "limits.cpus"}},
    {limits, "limit-pids", count<&S::limits, &Limits::pids>, Scope::instances, {},
     "processes and threads; exec without a control group: all of the instance's user, and not for root",
     {.key = "limits.pids"}},
    {limits, "limit-nofile", count<&S::limits, &Limits::nofile>, Scope::instances, {},
     "open files of each process",
     {.key = "limits.nofile"}},
    {limits, "limit-core", size<&S::limits, &Limits::core>, Scope::instances, {},
     "core file of a process that crashes; 0: none is written",
     {.key = "limits.core"}},
    {limits, "limit-tmp", size<&S::limits, &Limits::tmp>, Scope::instances, {},
     "contents of /tmp, and with oci of what writable lets it write; docker, oci only",
     {.key = "limits.tmp"}},
    {limits, "limit-log", size<&S::limits, &Limits::log>, Scope::instances, {},
     "output that the engine keeps of a container; docker only",
     {.key = "limits.log"}},

    {whole, "name",
     custom<Shape::text, set_name, show<&Settings::name>>.called("NAME"),
     Scope::daemon, "made from the machine, and the listen addresses or the path of the configuration",
     "the name by which a later start of the same daemon finds its leftovers"},
    {whole, "init", file<&Settings::init>.called("PATH"), Scope::daemon, "looked for beside instancerd, and in libexec/instancer",
     "the program instancer-init, which starts an instance of exec that has a user"},
    {whole, "threads", count_in<1, 1024, &Settings::threads>, Scope::daemon, "number of cores",
     "threads that serve"},
    {whole, "busy-poll", custom<Shape::duration, set_busy_poll, show<&Settings::busy_poll>>.called("DURATION").with_units("us|ms|s|m|h"), Scope::daemon, {},
     "how long a thread looks for more bytes, with a whole processor, before it sleeps; 100us or so make answers faster "
     "where they come within microseconds, at most 10ms"},
    {whole, "log-level", choice<log_levels, &Settings::log_level>, Scope::daemon, {},
     "how much is logged, on standard error",
     {.effect = Effect::now}},
    {whole, "log", file<&Settings::log_file>, Scope::daemon, "standard error",
     "append the log to a file, which SIGHUP and SIGUSR2 open again",
     {.letter = 'l', .effect = Effect::now}},
    {whole, "log-format", choice<log_formats, &Settings::log_format>, Scope::daemon, {},
     "lines to read, or one JSON object a line"},
};
// clang-format on

std::string escaped(std::string_view text)
{
    std::string cell;
    for (const char c : text)
        cell += c == '|' ? std::string("\\|") : std::string(1, c);
    return cell;
}

/// What it is before anything is said about it; in quotes where it holds a blank.
std::string initial_value(const Option& option, const ServiceSettings* service)
{
    const Settings settings;
    const auto text = option.print(View(settings, service));
    return text.find(' ') == text.npos ? text : "'" + text + "'";
}

}  // namespace

std::string Option::flags() const
{
    return (traits.letter ? std::string("-") + traits.letter + ", " : "") + "--" + std::string(name);
}

std::string Option::value() const
{
    return type.placeholder.empty() ? joined(type.choices, "|") : std::string(type.placeholder);
}

std::string_view describe(Effect effect)
{
    switch (effect) {
    case Effect::usual: break;
    case Effect::now: return "at once";
    case Effect::new_sessions: return "for new sessions";
    case Effect::new_instances:
    case Effect::instance_start: return "for new instances";
    case Effect::restart: return "after a restart";
    }
    return {};
}

Effect Option::effect() const
{
    if (traits.effect != Effect::usual)
        return traits.effect;
    if (!includes(scope, Scope::queued))
        return Effect::restart;
    const auto is_of = [this](std::span<const std::string_view> groups) {
        return std::find(groups.begin(), groups.end(), group) != groups.end();
    };
    return is_of(at_once) ? Effect::now : is_of(of_starts) ? Effect::instance_start : Effect::new_sessions;
}

Effect Option::effect_for_daemon() const { return includes(scope, Scope::any_service) ? Effect::restart : effect(); }

std::string Option::describe_effect() const
{
    // What asks a daemon stands in no configuration.
    if (scope == Scope::ctl)
        return "-";
    const bool differs = includes(scope, Scope::daemon) && effect_for_daemon() != effect();
    return std::string(describe(effect())) +
           (differs ? "; at the top level " + std::string(describe(effect_for_daemon())) : "");
}

std::string Option::print(const View& view) const
{
    return traits.secret || !type.print ? std::string() : type.print(view);
}

std::string Option::default_value() const
{
    if (!fallback.empty())
        return std::string(fallback);
    if (!includes(scope, Scope::any_service)) {
        auto own = initial_value(*this, nullptr);
        return own.empty() ? "-" : own;
    }
    // That of the first mode, and what others have instead.
    std::string text, usual;
    for (const auto* mode : all_modes()) {
        if (!includes(scope, scope_of(mode->mode)))
            continue;
        const ServiceSettings service({}, mode->mode);
        const auto own = initial_value(*this, &service);
        if (text.empty())
            text = usual = own.empty() ? "-" : own;
        else if (!own.empty() && own != usual)
            text += "; " + std::string(mode->name) + ": " + own;
    }
    return text;
}

std::string Option::description() const
{
    return std::string(help) + (traits.reload ? "; read again on SIGHUP" : "") + (repeats() ? "; may be repeated" : "");
}

const std::vector<Option>& options()
{
    static const auto all = [] {
        std::vector<Option> rows(std::begin(before_modes), std::end(before_modes));
        rows.insert(rows.end(), crowd_options().begin(), crowd_options().end());
        rows.insert(rows.end(), proof_options().begin(), proof_options().end());
        const Option* last = nullptr;
        for (const auto* mode : all_modes()) {
            const auto of_mode = mode->options();
            // Two modes of one folder have one table.
            if (of_mode.data() != std::exchange(last, of_mode.data()))
                rows.insert(rows.end(), of_mode.begin(), of_mode.end());
        }
        rows.insert(rows.end(), relaxing_options().begin(), relaxing_options().end());
        const auto of_ways = authentication_options();
        rows.insert(rows.end(), of_ways.begin(), of_ways.end());
        rows.insert(rows.end(), flag_options().begin(), flag_options().end());
        rows.insert(rows.end(), std::begin(after_modes), std::end(after_modes));
        rows.insert(rows.end(), watch_options().begin(), watch_options().end());
        rows.insert(rows.end(), admin_options().begin(), admin_options().end());
        rows.insert(rows.end(), ctl_options().begin(), ctl_options().end());
        return rows;
    }();
    return all;
}

const Option* find_option(std::string_view name, Scope scope)
{
    const auto found = std::find_if(options().begin(), options().end(), [&](const auto& option) {
        return option.name == name && includes(option.scope, scope);
    });
    return found == options().end() ? nullptr : &*found;
}

const Option* find_option(std::string_view name) { return find_option(name, Scope::anywhere); }

std::string key_of(std::string_view name)
{
    const auto option = find_option(name);
    return std::string(option ? option->config_key() : name);
}

std::string no_choice(const std::string& text, std::span<const std::string_view> names)
{
    return "'" + text + "' is none of " + joined(names) + suggestion(text, {names.begin(), names.end()});
}

std::string markdown_table()
{
    std::string text = "| option | default | what it does | a change holds |\n|---|---|---|---|\n";
    std::string_view group;
    for (const auto& option : options()) {
        if (option.group != group) {
            group = option.group;
            text += "| **" + std::string(group) + "** | | | |\n";
        }
        const auto value = option.value().empty() ? std::string() : " " + escaped(option.value());
        text += "| `" + option.flags() + value + "` | " + option.default_value() + " | " +
                escaped(option.description()) + " | " + option.describe_effect() + " |\n";
    }
    return text;
}

}  // namespace instancer::daemon
