// SPDX-License-Identifier: MIT
#include "reload/reload_plan.hpp"

#include <algorithm>
#include <string_view>

#include "config/changes.hpp"
#include "modes/modes.hpp"
#include "options/options.hpp"

namespace instancer::daemon {

namespace {

using Action = ServiceChange::Action;

bool takes_restart(const OptionChange& change) { return change.effect == Effect::restart; }

/// Whether `key` is the key of an option, or one of the entries that it has: `env.NAME`.
bool is_of(std::string_view key, std::string_view option)
{
    return key.starts_with(option) && (key.size() == option.size() || key[option.size()] == '.');
}

Effect effect_of(const std::string& key, Mode mode)
{
    if (key == "mode" || !entry_of(mode).replaceable)
        return Effect::restart;
    for (const auto& option : options())
        if (includes(option.scope, scope_of(mode)) && is_of(key, option.config_key()))
            return option.effect();
    // The command, and limits as a whole.
    return Effect::instance_start;
}

const ServiceSettings* find_service(const Settings& settings, const std::string& name)
{
    const auto found = std::find_if(settings.services.begin(), settings.services.end(),
                                    [&](const auto& service) { return service.name == name; });
    return found == settings.services.end() ? nullptr : &*found;
}

Parsed<std::vector<OptionChange>> changes_of(const OwnedSettings& before, const Settings& now)
{
    const auto changes = changes_between(before.daemon().text, now.text, now.file);
    if (!changes)
        return wrong(changes.error());
    const auto& service = before.service();
    const auto prefix = "services." + service.name + ".";
    std::vector<OptionChange> found;
    for (const auto& path : *changes)
        if (path.starts_with(prefix))
            found.emplace_back(path.substr(prefix.size()), effect_of(path.substr(prefix.size()), service.mode));
    return found;
}

std::vector<OptionChange> changes_of_daemon(const Settings& before, const Settings& now)
{
    std::vector<OptionChange> found;
    for (const auto& option : options()) {
        if (!includes(option.scope, Scope::daemon) || !option.type.print)
            continue;
        if (option.type.print(View(before, nullptr)) != option.type.print(View(now, nullptr)))
            found.emplace_back(std::string(option.config_key()), option.effect_for_daemon());
    }
    return found;
}

}  // namespace

bool ServiceChange::concerns_starts() const
{
    return std::any_of(options.begin(), options.end(),
                       [](const auto& change) { return change.effect == Effect::instance_start; });
}

std::string OptionChange::describe() const { return key + " (" + std::string(daemon::describe(effect)) + ")"; }

std::vector<std::string> descriptions_of(const std::vector<OptionChange>& changes)
{
    std::vector<std::string> texts;
    for (const auto& change : changes)
        texts.push_back(change.describe());
    return texts;
}

std::string_view to_string(ServiceChange::Action action)
{
    switch (action) {
    case Action::add: return "add";
    case Action::remove: return "remove";
    case Action::change: return "change";
    case Action::restart: return "restart";
    }
    return "unknown";
}

Parsed<ReloadPlan> plan_reload(const Settings& daemon, const std::vector<OwnedSettings>& running, const Settings& now)
{
    ReloadPlan plan;
    plan.daemon = changes_of_daemon(daemon, now);
    for (const auto& before : running) {
        const auto& name = before.service().name;
        if (!find_service(now, name)) {
            plan.services.emplace_back(name, Action::remove);
            continue;
        }
        auto changes = changes_of(before, now);
        if (!changes)
            return wrong(changes.error());
        const bool restart = std::any_of(changes->begin(), changes->end(), takes_restart);
        if (!changes->empty())
            plan.services.emplace_back(name, restart ? Action::restart : Action::change, std::move(*changes));
    }
    for (const auto& service : now.services)
        if (std::none_of(running.begin(), running.end(),
                         [&](const auto& other) { return other.service().name == service.name; }))
            plan.services.emplace_back(service.name, Action::add);
    return plan;
}

}  // namespace instancer::daemon
