// SPDX-License-Identifier: MIT
// The one table of options. The command line, --help, the keys of the configuration and the README all follow it.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"

namespace instancer::daemon {

/// How an option is written in the configuration.
enum class Shape {
    text,      ///< "text"
    number,    ///< 5
    duration,  ///< "20s", or 0
    size,      ///< "64m", or bytes as a number
    flag,      ///< true or false; on the command line it takes no value
    variant,   ///< true, false or "text"; on the command line it may have a value
    list,      ///< ["a", "b"], or "a" alone; on the command line it may be repeated
    map,       ///< {"NAME": "value"}; on the command line NAME=VALUE, may be repeated
};

/// Where an option belongs.
enum class Scope : unsigned {
    exec = 1,
    docker = 2,
    instances = 3,  ///< Services that give every client an instance.
    forward = 8,
    queued = 11,  ///< Services that can have clients wait.
    relay = 16,
    listeners = 27,  ///< Services with addresses of their own to listen on.
    tunnel_server = 32,
    tunnel_agent = 64,
    tunnel = 96,   ///< Either end of one.
    dialers = 72,  ///< Services that connect to servers.
    holders = 67,  ///< Services that bound the sessions of one thing.
    service = 59,  ///< Services that have clients.
    any_service = 123,
    daemon = 4,      ///< The command line of the quick forms, and the top level of the configuration.
    both = 7,        ///< A service with instances, or the top level for all services.
    anywhere = 127,  ///< A service, or the top level for all services.
};

constexpr bool includes(Scope scope, Scope part)
{
    return (static_cast<unsigned>(scope) & static_cast<unsigned>(part)) != 0;
}

constexpr Scope scope_of(Mode mode)
{
    switch (mode) {
    case Mode::exec: return Scope::exec;
    case Mode::docker: return Scope::docker;
    case Mode::forward: return Scope::forward;
    case Mode::tunnel_server: return Scope::tunnel_server;
    case Mode::tunnel_agent: return Scope::tunnel_agent;
    case Mode::relay: break;
    }
    return Scope::relay;
}

/// What an option writes to. `service` is none at the top level of a configuration.
class Target {
public:
    Target(Settings& all, ServiceSettings* one) : settings(all), service(one) {}

    Settings& settings;
    ServiceSettings* service;
};

class Option {
public:
    std::string_view group;
    std::string_view name;      ///< Without the dashes.
    std::string_view value;     ///< Placeholder of the value.
    std::string_view fallback;  ///< The default, in words; `-` for none.
    std::string_view help;
    Scope scope;
    Shape shape;
    std::string_view key;  ///< Path below the service in the configuration; empty where it is the name.

    /// Takes one value; called once for each of a list.
    Parsed<void> (*apply)(Target, const std::string&);

    std::string_view config_key() const { return key.empty() ? name : key; }
};

/// All options, in the order of --help.
std::span<const Option> options();

/// None when there is no such option.
const Option* find_option(std::string_view name);

/// How the configuration calls that option.
std::string key_of(std::string_view name);

/// The rows of the README's table.
std::string markdown_table();

}  // namespace instancer::daemon
