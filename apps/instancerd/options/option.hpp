// SPDX-License-Identifier: MIT
// What a row of the table of options holds.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>

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
    oci = 4,
    forward = 8,
    relay = 16,
    tunnel_server = 32,
    tunnel_agent = 64,
    daemon = 128,  ///< The command line of the quick forms, and the top level of the configuration.
    ctl = 256,     ///< The command that asks a daemon that runs.

    containers = docker | oci,
    instances = exec | containers,  ///< Services that give every client an instance.
    queued = instances | forward,   ///< Services that can have clients wait.
    listeners = queued | relay,     ///< Services with addresses of their own to listen on.
    tunnel = tunnel_server | tunnel_agent,
    dialers = forward | tunnel_agent,    ///< Services that connect to servers.
    holders = instances | tunnel_agent,  ///< Services that bound the sessions of one thing.
    unrelayed = queued | tunnel_server,  ///< Services that have clients, but for the relay.
    service = unrelayed | relay,         ///< Services that have clients.
    any_service = service | tunnel_agent,
    both = instances | daemon,        ///< A service with instances, or the top level for all services.
    anywhere = any_service | daemon,  ///< A service, or the top level for all services.
};

constexpr bool includes(Scope scope, Scope part)
{
    return (static_cast<unsigned>(scope) & static_cast<unsigned>(part)) != 0;
}

/// Whether a command of one scope takes an option of the other. Commands that serve take those of the daemon, too.
constexpr bool takes(Scope command, Scope option)
{
    return includes(option, command) || (command != Scope::ctl && includes(option, Scope::daemon));
}

constexpr Scope scope_of(Mode mode) { return static_cast<Scope>(1u << static_cast<unsigned>(mode)); }

static_assert(scope_of(Mode::tunnel_agent) == Scope::tunnel_agent);

/// What an option writes to. `service` is none at the top level of a configuration.
class Target {
public:
    Target(Settings& all, ServiceSettings* one) : settings(all), service(one) {}

    Settings& settings;
    ServiceSettings* service;
};

/// What an option is shown from. `service` may be none for an option of the daemon.
class View {
public:
    View(const Settings& all, const ServiceSettings* one) : settings(all), service(one) {}

    const Settings& settings;
    const ServiceSettings* service;
};

/// The values that an option takes.
class Type {
public:
    Shape shape = Shape::text;
    std::string_view placeholder;  ///< Empty for a flag, and where there are choices.

    /// Takes one value; called once for each of a list.
    Parsed<void> (*parse)(Target, const std::string&) = nullptr;

    /// Shows the value as it is written, empty while there is none. None where that cannot be done.
    std::string (*print)(const View&) = nullptr;

    /// All words that it may be; empty where there are others.
    std::span<const std::string_view> choices = {};

    /// The least and the largest number, of a whole one, a duration or a size.
    std::uint64_t least = 0;
    std::uint64_t most = std::numeric_limits<std::int64_t>::max();

    /// Whether it may be 0 as well, below the least.
    bool or_zero = false;

    /// Whether a number may have a fraction.
    bool has_fraction = false;

    /// The units of a duration, as alternatives of a pattern.
    std::string_view units = "ms|s|m|h";

    /// What it is in a mode; none where that is the same in all.
    const Type& (*in)(Mode) = nullptr;

    constexpr Type called(std::string_view name) const { return with(&Type::placeholder, name); }
    constexpr Type within(std::uint64_t smallest, std::uint64_t largest) const
    {
        return with(&Type::least, smallest).with(&Type::most, largest);
    }
    constexpr Type or_none() const { return with(&Type::or_zero, true); }
    constexpr Type with_units(std::string_view names) const { return with(&Type::units, names); }
    constexpr Type with_fraction() const { return with(&Type::has_fraction, true); }
    constexpr Type by_mode(const Type& (*choose)(Mode)) const { return with(&Type::in, choose); }
    constexpr Type offering(std::span<const std::string_view> words) const { return with(&Type::choices, words); }

private:
    template <class Value>
    constexpr Type with(Value Type::*member, Value value) const
    {
        auto other = *this;
        other.*member = value;
        return other;
    }
};

/// That an option has a value; without one, that it was given and is neither 0 nor off.
class Condition {
public:
    std::string_view option;
    std::string_view value = {};
    std::string_view example = {};  ///< To write where no value is asked for.
};

/// What an option has no effect without. A mode is not asked for options that it does not have.
class Needs {
public:
    std::array<Condition, 3> any_of = {};
    std::string_view what = {};              ///< What these give, where that is clearer than a list of them.
    std::array<Condition, 10> or_else = {};  ///< Conditions that do as well, but are no remedy.
    Scope where = Scope::anywhere;
};

/// What an option cannot work together with.
class Conflict {
public:
    Condition with = {};
    std::string_view because = {};
    Condition instead = {};  ///< The remedy, where it is not to remove either.
};

/// When a change of an option in the configuration holds, once that is read again.
enum class Effect {
    usual,           ///< As for most options of its group and scope.
    now,             ///< For all that comes.
    new_sessions,    ///< Sessions that there are go on as they began.
    new_instances,   ///< Instances that there are go on as they began.
    instance_start,  ///< The same, and instances are started otherwise: warm ones are replaced.
    restart,         ///< Only a restart of the daemon brings it into force.
};

/// `for new sessions`, and the like.
std::string_view describe(Effect effect);

class Option {
public:
    /// What most options have nothing of.
    class Traits {
    public:
        char letter = 0;  ///< Of the short form; none is 0.
        Needs needs = {};
        Conflict conflict = {};
        bool zero_is_off = false;   ///< With 0 it needs nothing.
        bool reload = false;        ///< SIGHUP reads the file that it names again.
        bool secret = false;        ///< Its value is shown nowhere.
        bool no_key = false;        ///< A configuration cannot have it.
        std::string_view key = {};  ///< Path below the service in the configuration; empty where it is the name.
        Effect effect = Effect::usual;
    };

    std::string_view group;
    std::string_view name;  ///< Without the dashes.
    Type type;
    Scope scope;
    std::string_view fallback;  ///< The default in words; empty where the settings show it.
    std::string_view help;
    Traits traits = {};

    std::string_view config_key() const { return traits.key.empty() ? name : traits.key; }
    bool repeats() const { return type.shape == Shape::list || type.shape == Shape::map; }

    /// `-t, --routing`, or `--ttl`.
    std::string flags() const;

    /// Placeholder of the value: `DURATION`, or `reset|hold|close`.
    std::string value() const;

    /// `-` for none.
    std::string default_value() const;

    /// Help, and what the row says besides.
    std::string description() const;

    /// When a change of it holds in a service; of an option of the daemon alone, in the daemon.
    Effect effect() const;

    /// The same at the top level of a configuration.
    Effect effect_for_daemon() const;

    /// Both in words.
    std::string describe_effect() const;

    /// The value in force as it is written; empty for a secret, and where there is none.
    std::string print(const View& view) const;
};

}  // namespace instancer::daemon
