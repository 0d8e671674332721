// SPDX-License-Identifier: MIT
#include "config/checker.hpp"

#include <algorithm>
#include <vector>

#include "options/options.hpp"

namespace instancer::daemon {

namespace {

/// The options of one service, against what their rows say.
class Table {
public:
    explicit Table(Checker& checker) : checker_(checker), view_(checker.settings, &checker.service) {}

    void check(const Option& option)
    {
        const auto& needs = option.traits.needs;
        if (is_used(option) && includes(needs.where, scope()))
            check_needs(option, needs);
        if (is_in_force(option))
            check_conflict(option, option.traits.conflict);
    }

private:
    Scope scope() const { return scope_of(checker_.service.mode); }

    const Option* find(const Condition& condition) const
    {
        const auto* option = condition.option.empty() ? nullptr : find_option(condition.option, scope());
        return option || condition.option.empty() ? option : find_option(condition.option, Scope::daemon);
    }

    bool is_given(const Option& option) const
    {
        return checker_.has(option.name) || checker_.settings.given.find(option.name) != checker_.settings.given.end();
    }

    /// Whether it was given, and is neither 0 nor off.
    bool is_in_force(const Option& option) const
    {
        if (!is_given(option))
            return false;
        const auto value = option.print(view_);
        return value != "0" && value != "off";
    }

    /// Whether it needs what its row says: an option that is switched off needs nothing, but 0 is mostly a value.
    bool is_used(const Option& option) const
    {
        const auto shape = option.type.shape;
        const bool has_off = shape == Shape::flag || shape == Shape::variant || option.traits.zero_is_off;
        return has_off ? is_in_force(option) : is_given(option);
    }

    bool holds(const Condition& condition) const
    {
        const auto* option = find(condition);
        return option && (condition.value.empty() ? is_in_force(*option) : option->print(view_) == condition.value);
    }

    std::string written(const Condition& condition) const
    {
        return checker_.say(condition.option, condition.value.empty() ? condition.example : condition.value);
    }

    void check_needs(const Option& option, const Needs& needs)
    {
        std::vector<std::string> remedies;
        for (const auto& condition : needs.any_of) {
            if (holds(condition))
                return;
            if (find(condition))
                remedies.push_back(written(condition));
        }
        const bool other = std::any_of(needs.or_else.begin(), needs.or_else.end(),
                                       [this](const auto& condition) { return holds(condition); });
        if (other || remedies.empty())
            return;
        const auto list = alternatives({remedies.begin(), remedies.end()});
        if (needs.what.empty())
            checker_.refuse(option.name, "needs " + list + "; add " + (remedies.size() == 1 ? "that" : "one of them") +
                                             " or remove this");
        else
            checker_.refuse(option.name, "needs " + std::string(needs.what) + "; add " + list + ", or remove this");
    }

    void check_conflict(const Option& option, const Conflict& conflict)
    {
        if (!holds(conflict.with))
            return;
        const auto reason = conflict.because.empty() ? "" : ": " + std::string(conflict.because);
        const auto remedy =
            conflict.instead.option.empty() ? "remove one of them" : "remove it, or use " + written(conflict.instead);
        checker_.refuse(option.name, "cannot work together with " + written(conflict.with) + reason + "; " + remedy);
    }

    Checker& checker_;
    View view_;
};

}  // namespace

Place place_of(const ServiceSettings& service, std::string_view option)
{
    const auto found = service.given.find(option);
    return found == service.given.end() ? service.place : found->second;
}

Place place_of(const Settings& settings, std::string_view option)
{
    const auto found = settings.given.find(option);
    if (found != settings.given.end())
        return found->second;
    return settings.services.empty() ? Place() : place_of(settings.services.front(), option);
}

void Checker::refuse(std::string_view option, std::string text)
{
    if (!follows_from_unread(option, text))
        problems_.emplace_back(place_of(service, option), std::move(text));
}

namespace {

/// Whether `text` names that option: a name that begins with it is another one.
bool names(std::string_view text, std::string_view option)
{
    const auto goes_on = [text](std::size_t at) {
        return at < text.size() && (text[at] == '-' || (text[at] >= 'a' && text[at] <= 'z'));
    };
    for (auto at = text.find(option); at != text.npos; at = text.find(option, at + 1))
        if (!goes_on(at + option.size()))
            return true;
    return false;
}

}  // namespace

/// Whether the complaint is about an option that could not be read, or names one: it would be a further, wrong one.
bool Checker::follows_from_unread(std::string_view option, std::string_view text) const
{
    return std::any_of(service.unread.begin(), service.unread.end(),
                       [&](const auto& unread) { return unread == option || names(text, say(unread)); });
}

void Checker::check_table()
{
    for (const auto& option : options())
        if (has(option.name) && includes(option.scope, scope_of(service.mode)))
            Table(*this).check(option);
}

void Checker::check_environment()
{
    for (const auto& [name, value] : service.env) {
        if (name.starts_with("INSTANCER_"))
            refuse("env", name + " is a name of ours; choose one that does not begin with INSTANCER_");
        if (name == "PORT" && service.mode == Mode::exec && service.io == ProcessIo::port)
            refuse("env", "PORT is set for each instance already, because of " + say("io", "port") + "; remove it");
    }
}

}  // namespace instancer::daemon
