// SPDX-License-Identifier: MIT
// What the user asked for, as the command line and the configuration file both fill it in.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <instancer/acceptor/access_control.hpp>
#include <instancer/backend/docker_options.hpp>
#include <instancer/backend/process_options.hpp>
#include <instancer/backend/stderr_to.hpp>
#include <instancer/backend/upstream_options.hpp>
#include <instancer/pool/pool_options.hpp>
#include <instancer/relay/relay_greeting.hpp>
#include <instancer/relay/relay_options.hpp>

#include "admin/admin_settings.hpp"
#include "authentication/settings.hpp"
#include "config/problem.hpp"
#include "crowd/crowd_settings.hpp"
#include "ctl/ctl_settings.hpp"
#include "files/access.hpp"
#include "flags/flag_settings.hpp"
#include "modes/mode.hpp"
#include "modes/oci/oci_settings.hpp"
#include "modes/tunnel/tunnel_settings.hpp"
#include "observe/watch_settings.hpp"
#include "options/values.hpp"
#include "proof/proof_settings.hpp"
#include "relaxing/relaxing_settings.hpp"

namespace instancer::daemon {

enum class Auth { open, source, token, prompt, signed_token, webhook, ctfd, rctf, shared };

/// Whether a client types a line, or sends one first.
constexpr bool has_line(Auth auth)
{
    return auth != Auth::open && auth != Auth::source && auth != Auth::token && auth != Auth::shared;
}

/// What becomes of sessions and instances whose token is no longer listed.
enum class OnRemoved { keep, end };

enum class WhenDown { reset, close_listener };
enum class LogLevel { debug, info, warning, error };

/// A level of the log as an original command calls it.
class Verbosity {
public:
    Verbosity(LogLevel log_level, std::string_view level_name) : level(log_level), name(level_name) {}

    LogLevel level;
    std::string_view name;
};

/// 10 to 50 by tens, from everything to almost nothing; 1 to 4, from little to everything; 0: everything.
Parsed<Verbosity> parse_verbosity(const std::string& text);

enum class LogFormat { text, json };
enum class TrafficLogFormat { off, hex, text };

/// Which options were given, by name, and where.
using Given = std::map<std::string, Place, std::less<>>;

/// Limits of one instance; 0 means none.
class Limits {
public:
    std::uint64_t memory = 0;
    double cpus = 0;
    std::uint64_t pids = 0;
    std::uint64_t nofile = 1024;
    std::uint64_t core = 0;  ///< Here 0 means that there is none.
    std::uint64_t tmp = 0;
    std::uint64_t log = 0;

    Limits() = default;
};

/// What the log shows of a session's bytes.
class TrafficLogSettings {
public:
    TrafficLogFormat format = TrafficLogFormat::off;
    std::uint64_t limit = 64 * 1024;  ///< Bytes of each session and direction; 0: no limit.

    TrafficLogSettings() = default;
};

/// Where sessions are recorded.
class RecordSettings {
public:
    std::string directory;                          ///< Empty: nowhere.
    std::uint64_t limit = std::uint64_t{16} << 20;  ///< Bytes of each session's file; 0: no limit.
    std::uint64_t total = std::uint64_t{1} << 30;   ///< Bytes of all files of the service; 0: no limit.

    RecordSettings() = default;
};

/// What concerns the relay alone.
class RelaySettings {
public:
    static constexpr std::string_view control_address = "127.0.0.1:32565";
    static constexpr std::uint16_t port = 1111;

    RelayOptions channels;
    RelayGreeting greeting;
    std::string auth_string;
    std::string auth_file;
    std::optional<Address> control;
    unsigned verbosity = 1;

    RelaySettings() { channels.max_members = 2; }
};

/// One service.
class ServiceSettings {
public:
    explicit ServiceSettings(std::string service_name, Mode service_mode);

    std::string name;
    Mode mode;
    Place place;
    Given given;
    std::set<std::string, std::less<>> unread;  ///< Options whose value could not be read.

    std::vector<Address> listen;
    mode_t unix_mode = 0666;
    std::string unix_owner, unix_group;  ///< Empty: the daemon's own.
    std::vector<std::string> command;

    Auth auth = Auth::open;
    unsigned source_prefix = 64;
    unsigned source_prefix4 = 32;
    std::string tokens;
    OnRemoved on_removed = OnRemoved::keep;
    std::string prompt = "token: ";  ///< Empty: nothing is asked.
    AuthenticationSettings authentication;
    std::array<std::uint8_t, 2> reset_id{0, 0};
    std::chrono::milliseconds auth_timeout{10'000};
    std::chrono::milliseconds session_idle{0}, half_close_timeout{0}, session_timeout{0};

    std::vector<AccessRule> access;
    std::string access_file;
    std::string time_zone;
    WhenDenied when_denied = WhenDenied::reset;
    std::size_t max_connections = 0;
    std::size_t max_per_source = 0;
    std::vector<std::optional<Network>> accept_proxy;
    CrowdSettings crowd;

    PoolOptions pool;  ///< Its defaults, such as that of `--idle`, are those of `pool_options.hpp`, and of `complete`.
    std::optional<std::chrono::milliseconds> drain_timeout;

    StderrTo stderr_to = StderrTo::log;
    TerminalMode pty = TerminalMode::none;
    std::vector<std::pair<std::string, std::string>> env;
    bool client_env = true;
    std::string user;
    std::optional<UserRange> users;  ///< In place of `user`.
    std::string working_directory;
    std::chrono::milliseconds stop_grace{2000};
    Limits limits;

    ProcessIo io = ProcessIo::stdio;
    bool sandbox = false;  ///< Processes in containers that have files of this host.
    std::optional<PortRange> ports;
    std::string dir_template;

    FlagSettings flags;

    DockerOptions docker;  ///< What concerns containers alone, with an engine or without.
    OciSettings oci;       ///< What concerns containers without an engine alone.
    RelaxingSettings relaxing;

    UpstreamOptions upstream;  ///< What concerns forwarding alone; its list is empty when it comes from a file.
    std::string upstreams_file;
    WhenDown when_down = WhenDown::reset;

    RelaySettings relay;    ///< What concerns channels alone.
    TunnelSettings tunnel;  ///< What concerns reverse tunnels alone.

    TrafficLogSettings traffic_log;
    RecordSettings record;

    ProofSettings proof;

    /// Whether the user wrote the option, rather than leaving it at its default.
    bool has(std::string_view option) const { return given.find(option) != given.end(); }

    /// Whether its value is the one that the user meant.
    bool reads(std::string_view option) const { return unread.find(option) == unread.end(); }

    /// Whether clients may not be let in for their address or their number, or come through a proxy.
    bool needs_access_control() const
    {
        return !access.empty() || !access_file.empty() || max_connections != 0 || max_per_source != 0 ||
               !accept_proxy.empty() || !crowd.connect_rate.unlimited() || crowd.bans();
    }

    /// Whether an instance serves one connection and goes with it.
    bool single_use() const
    {
        if (mode == Mode::exec)
            return io != ProcessIo::port;
        return (mode == Mode::docker || mode == Mode::oci) && docker.io == DockerIo::stdio;
    }

    /// Whether its instances are processes that share what this host has.
    bool has_bare_processes() const { return mode == Mode::exec && !sandbox; }

    /// Fills in the defaults that depend on other options.
    void complete();
};

/// The whole daemon.
class Settings {
public:
    std::string file;            ///< The configuration; empty when all comes from the command line.
    std::string text;            ///< Of that file.
    std::filesystem::path base;  ///< What relative paths are relative to; empty for the current directory.
    Given given;

    std::string name;  ///< Empty unless given; see `daemon_name`.
    LogLevel log_level = LogLevel::info;
    LogFormat log_format = LogFormat::text;
    std::string log_file;  ///< Empty: standard error.
    AdminSettings admin;
    CtlSettings ctl;
    std::string init;  ///< Path of instancer-init; empty: it is looked for.
    std::size_t threads;
    std::chrono::microseconds busy_poll{0};
    std::size_t max_instances = 0;
    std::optional<std::size_t> max_unadmitted;  ///< None: as many as the limit of descriptors allows.
    std::size_t max_unadmitted_per_source = 0;
    std::size_t max_per_owner = 0;
    std::chrono::milliseconds drain_timeout{30'000};
    WatchSettings watch;
    std::vector<ServiceSettings> services;

    Settings();

    /// `path` made independent of the current directory.
    std::string resolve(const std::string& path) const;

    /// The same for the path of a Unix socket; any other address as it is.
    Address resolve(const Address& address) const;

    /// The name given, or one that the same command line or configuration has every time on that machine, and no other
    /// daemon has.
    std::string daemon_name(const std::string& machine) const;

    /// The name on this machine.
    std::string daemon_name() const;

    /// Whether the next start of the same daemon gets the same name.
    bool has_lasting_name() const;

    /// The program of a service: a name to look for on the PATH, or an absolute path.
    std::string program(const ServiceSettings& service) const;

    /// The path of instancer-init; empty when it is not found.
    std::string init_program() const;

    /// How the user writes that option here: `--io port` or `"io": "port"`.
    std::string say(std::string_view option, std::string_view value = {}) const;
};

/// The files that SIGHUP reads again, but for the user database.
std::vector<std::string> files_of(const Settings& settings, const ServiceSettings& service);

/// As `parse_address`; the path of a Unix socket is relative to where it is written.
Parsed<Address> parse_address_at(const Settings& settings, std::string_view text);

/// The number of processors that this process may use.
std::size_t processors();

}  // namespace instancer::daemon
