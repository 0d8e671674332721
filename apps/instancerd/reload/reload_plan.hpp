// SPDX-License-Identifier: MIT
// What a configuration that is read again changes, by the two texts alone.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/settings.hpp"
#include "daemon/running_service.hpp"
#include "options/option.hpp"

namespace instancer::daemon {

/// An option whose value is another one now.
class OptionChange {
public:
    OptionChange(std::string option_key, Effect when) : key(std::move(option_key)), effect(when) {}

    /// For people: `ttl (for new instances)`.
    std::string describe() const;

    std::string key;  ///< As the configuration calls it.
    Effect effect;

    friend bool operator==(const OptionChange&, const OptionChange&) = default;
};

/// What becomes of a service that is not as it was.
class ServiceChange {
public:
    enum class Action {
        add,
        remove,   ///< Its sessions may finish, for as long as its drain-timeout says.
        change,   ///< Its sessions and instances go on; new ones follow the new options.
        restart,  ///< It stays as it is, whole, because an option of it takes a restart of the daemon.
    };

    ServiceChange(std::string service_name, Action what, std::vector<OptionChange> changes = {})
        : service(std::move(service_name)), action(what), options(std::move(changes))
    {
    }

    /// Whether instances are started otherwise than before.
    bool concerns_starts() const;

    std::string service;
    Action action;
    std::vector<OptionChange> options;

    friend bool operator==(const ServiceChange&, const ServiceChange&) = default;
};

/// Each option in words.
std::vector<std::string> descriptions_of(const std::vector<OptionChange>& changes);

/// `add`, `remove`, `change` or `restart`.
std::string_view to_string(ServiceChange::Action action);

/// All that differs.
class ReloadPlan {
public:
    ReloadPlan() = default;

    std::vector<OptionChange> daemon;
    std::vector<ServiceChange> services;  ///< Those that run in their order, then the new ones.
};

/// Compares what is in force, for the daemon and for each service, with what was read. Errors are those of the text
/// that was read.
Parsed<ReloadPlan> plan_reload(const Settings& daemon, const std::vector<OwnedSettings>& running, const Settings& now);

}  // namespace instancer::daemon
